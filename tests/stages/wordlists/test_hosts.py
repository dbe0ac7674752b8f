"""Hosts in one writing, and lists of them: domains, hosts, whole trees, URLs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError
from stages.kernels import utf8
from stages.kernels.key_set import contains
from stages.kernels.url_hosts import NONE
from stages.wordlists import hosts, public_suffixes

SAME = [
    ["http://münchen.de/", "http://MÜNCHEN.de", "http://xn--mnchen-3ya.de", "//m%C3%BCnchen。de", "XN--MNCHEN-3YA.DE."],
    ["http://[::1]/", "http://[0:0:0:0:0:0:0:1]:80", "http://u@[0::0001]"],
    ["http://[2001:DB8::A]/", "http://[2001:0db8:0::000a]/"],
    ["http://example.com", "https://me:x@EXAMPLE.com:8080/a", "ｅｘａｍｐｌｅ．com", "http://%65xample.com../"],
    ["http://1.2.3.4/", "http://１.2.3.4:1"],
]
MALFORMED = ["http://", "http://a..b/", "http://[::1", "http://[zz]/", "http://%ff/", "http://a%2Fb/", "http://\ud7ff\ufffd/",
             "http://" + "é" * 5000, "http://" + "a" * 5000, "http://a b/", "http://[::1%25eth0]/", "http://256.1.1.1/",
             "http://" + "é" * 70 + ".com", "http://%5B::1%5D/"]  # fmt: skip


def found(urls: list[str]) -> hosts.Hosts:
    return hosts.hosts_of(utf8.view(pa.array(urls, pa.large_string())), public_suffixes.load())


def write(folder: Path, *entries: str) -> tuple[str]:
    (folder / "list").write_text("\n".join(entries))
    return (str(folder / "list"),)


@pytest.mark.parametrize("urls", SAME)
def test_hosts_of_the_same_host_in_other_writing_has_the_same_key(urls: list[str]) -> None:
    together = found([*urls, "http://other.org"])
    assert (together.key_N2[:-1] == together.key_N2[0]).all() and (together.key_N2[-1] != together.key_N2[0]).all()
    assert (together.registered_N2[:-1] == together.registered_N2[0]).all()
    assert NONE not in together.kind_N


def test_hosts_of_malformed_urls_have_none_and_harm_no_row_beside_them() -> None:
    mixed = found([x for url in MALFORMED for x in (url, "http://é.example.com/")])
    assert mixed.kind_N[::2].tolist() == [NONE] * len(MALFORMED)
    assert (mixed.key_N2[1::2] == found(["http://é.example.com/"]).key_N2).all()
    assert (mixed.registered_N2[1::2] == found(["http://example.com/"]).key_N2).all()


@pytest.mark.parametrize(
    ("entry", "url", "domain", "host"),
    [
        ("example.co.uk", "http://a.b.example.co.uk/x", True, False),
        ("example.co.uk", "http://example.co.uk", True, True),
        ("EXAMPLE.co.uk.", "http://example.co.uk", True, True),
        ("example.co.uk", "http://badexample.co.uk", False, False),
        ("co.uk", "http://example.co.uk", False, False),
        ("co.uk", "http://co.uk", False, True),
        (".co.uk", "http://a.example.co.uk", True, False),
        ("*.co.uk", "http://co.uk", True, False),
        ("b.host.com", "http://b.host.com", False, True),
        ("b.host.com", "http://a.b.host.com", False, False),
        (".b.host.com", "http://a.b.host.com", True, False),
        (".b.host.com", "http://ab.host.com", False, False),
        ("blogspot.com", "http://someone.blogspot.com", True, False),
        ("1.2.3.4", "http://1.2.3.4:80/", False, True),
        ("3.4", "http://1.2.3.4/", False, False),
        ("[0::1]", "http://[::1]/", False, True),
        ("münchen.de", "http://www.xn--mnchen-3ya.de", True, False),
        ("localhost", "http://localhost:80", False, True),
    ],
)
def test_host_list_entry_matches_what_it_says(tmp_path: Path, entry: str, url: str, domain: bool, host: bool) -> None:
    filler = [f"filler{k}.org" for k in range(200)]  # so that one entry may be malformed
    listed = hosts.read_hosts(write(tmp_path, *filler, entry))
    assert (listed.has_domain(found([url])).tolist(), listed.has_host(found([url])).tolist()) == ([domain], [host])


def test_read_hosts_list_of_something_else_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 3 entries are no hosts, such as 'http://a\.b/c'"):
        hosts.read_hosts(write(tmp_path, "example.com", "http://a.b/c", "<p>"))
    with pytest.raises(DataError, match="no entries"):
        hosts.read_hosts(write(tmp_path, "# none"))


@pytest.mark.parametrize(
    ("entry", "url", "same"),
    [
        ("http://a.b/c?d#e", "http://a.b/c?d#e", True), ("a.b/c", "https://me@A.B/c", True),
        ("a.b/c", "http://a.b/C", False), ("a.b/c", "http://a.b/c/", False), ("a.b", "http://a.b/", True),
        ("a.b:81/", "http://a.b:81/", True),
        ("a.b/", "http://a.b:81/", False), ("é.b/c", "http://xn--9ca.b/c", True),
        ("a.b/http://c.d", "http://a.b/http://c.d", True),
    ],
)  # fmt: skip
def test_read_urls_entry_matches_what_it_says(tmp_path: Path, entry: str, url: str, same: bool) -> None:
    listed = hosts.read_urls(write(tmp_path, "x.y/z", entry))
    assert contains(listed, found([url]).url_N2).tolist() == [same]


@pytest.mark.slow
def test_read_hosts_million_domains_load_in_seconds(tmp_path: Path) -> None:
    rng = random.Random(1)
    names = [f"{rng.getrandbits(48):x}.{rng.choice(('com', 'co.uk', 'ru'))}" for _ in range(1_000_000)]
    write(tmp_path, "a.com")
    hosts.read_hosts(write(tmp_path, "compile.com"))
    location = write(tmp_path, *names)
    start = time.process_time()
    listed = hosts.read_hosts(location)
    assert time.process_time() - start < 5
    assert len(listed.names.high) == len(set(names))
    assert sum(x.nbytes for x in listed.names) < 18_000_000
    asked = found([f"http://www.{name}/" for name in names[:1000]] + [f"http://0x{name}/" for name in names[:1000]])
    np.testing.assert_array_equal(listed.has_domain(asked), np.arange(2000) < 1000)

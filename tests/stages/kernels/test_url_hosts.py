"""Hosts in URLs against urllib, registered domains against publicsuffixlist and the list's own test cases."""

from __future__ import annotations

import random
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import publicsuffixlist
import pyarrow as pa
import pytest

from stages.kernels import url_hosts, utf8
from stages.kernels.url_hosts import ADDRESS, NAME, NONE, ODD
from stages.wordlists import public_suffixes
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

CASES = Path(publicsuffixlist.__file__).with_name("test_psl.txt")


def hosts(urls: list[str] | pa.Array) -> list[bytes]:
    text = utf8.view(urls if isinstance(urls, pa.Array) else pa.array(urls, pa.large_string()))
    spans = url_hosts.spans(text.data, text.offsets[:-1], text.offsets[1:])
    return [text.data[a:b].tobytes() for a, b in zip(spans.host_starts, spans.host_stops, strict=True)]


def packed(names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stops = np.cumsum([len(name) for name in names])
    return np.frombuffer("".join(names).encode("ascii"), np.uint8), np.append(0, stops[:-1]), stops


def registered(names: list[str]) -> list[str | None]:
    """The domain above (or at) each name that has the key of its registered domain."""
    data, starts, stops = packed(names)
    key_N2, has_N = url_hosts.registered_keys(data, starts, stops, np.ones(len(names), bool), public_suffixes.load())
    found: list[str | None] = []
    for n, name in enumerate(names):
        labels = name.lower().split(".")
        above = [".".join(labels[k:]) for k in range(len(labels))]
        equal = (url_hosts.host_keys(*packed(above)) == key_N2[n]).all(axis=1)
        assert equal.sum() == has_N[n]
        found.append(above[int(np.flatnonzero(equal)[0])] if has_N[n] else None)
    return found


def test_spans_ordinary_urls_have_the_host_urllib_finds() -> None:
    rng = random.Random(3)
    schemes, users = ["http", "https", "ftp", "a+b.c-1"], ["", "", "me@", "me:pa:ss@", "a@b@"]
    names = ["example.com", "A.Example.CO.UK", "x_y.org", "1.2.3.4", "localhost", "xn--p1ai.рф"]
    urls = [
        f"{rng.choice(schemes)}://{rng.choice(users)}{rng.choice(names)}{rng.choice(['', ':80', ':'])}"
        f"{rng.choice(['', '/', '/a:b@c/d', '?q=http://x.y', '#f@g', '/a?b#c'])}"
        for _ in range(3000)
    ]
    assert [h.decode().lower() for h in hosts(urls)] == [urlsplit(url).hostname for url in urls]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("  http://a.b  ", "a.b"), ("//a.b/c", "a.b"), ("a.b/c", "a.b"), ("a.b:8080", "a.b"), ("http://a.b../", "a.b"),
        ("http://good.com\\@evil.com/", "good.com"), ("http://[::1]:80/", "[::1]"), ("http://[::1/", ""),
        ("http:///x", ""), ("", ""), ("http://", ""), ("http://u@", ""), ("http://.../", ""), ("://x", ""),
    ],
)  # fmt: skip
def test_spans_odd_url_has_the_host_a_browser_takes(url: str, host: str) -> None:
    assert hosts([url]) == [host.encode()]


def test_kinds_hosts_are_told_apart() -> None:
    cases = {
        "example.com": NAME, "a_b-c.d": NAME, "localhost": NAME, "1.2.3.4": ADDRESS, "1.2.3.256": NONE, "1.2.3": NONE,
        "1.2.3.4.5": NONE, "0001.2.3.4": NONE, "3.com": NAME, "com.3": NONE, "a..b": NONE, "a b.c": NONE, "": NONE,
        "%41.com": ODD, "[::1]": ODD, "a.b" + "c" * 250: NAME, "a.b" + "c" * 251: NONE, ".a": NONE, "a,b": NONE,
    }  # fmt: skip
    assert url_hosts.kinds(*packed(list(cases))).tolist() == list(cases.values())


def test_registered_keys_follow_the_lists_own_cases() -> None:
    cases = re.findall(r"^checkPublicSuffix\('([^']+)', (?:null|'([^']+)')\)", CASES.read_text("utf-8"), re.M)
    # private names are no suffixes here, and a host has no leading dot
    own = [(a, b) for a, b in cases if not a.startswith(".") and not re.search(r"\buk\.com$", a)]
    ascii_own = [(a.encode("idna").decode(), b.encode("idna").decode()) for a, b in own]
    assert len(ascii_own) > 60
    assert registered([a for a, _ in ascii_own]) == [b.lower() or None for _, b in ascii_own]


def test_registered_keys_of_names_below_every_rule_equal_publicsuffixlist() -> None:
    theirs = publicsuffixlist.PublicSuffixList(only_icann=True)
    rng = random.Random(5)
    rules = [r.lstrip("!*").lstrip(".") for r in sorted(theirs._publicsuffix) if r.isascii()]
    names = [rng.choice(["", "a.", "a.b.", "www.", "A.B.c."]) + rule for rule in rules for _ in range(2)]
    names += ["com", "unknown", "a.unknown", "b.a.unknown"]
    # a wildcard's own base: publicsuffixlist takes it for public as well, the algorithm of publicsuffix.org does not
    bases = {r.removeprefix("*.") for r in theirs._publicsuffix if r.startswith("*.")} - theirs._publicsuffix
    compared = [name for name in names if name.lower() not in bases]
    assert registered(compared) == [theirs.privatesuffix(name.lower()) for name in compared]


def test_host_keys_differ_for_different_hosts_and_not_by_case() -> None:
    names = [f"{a}{b}.{c}" for a in "abcdefgh" for b in range(2000) for c in ("com", "org", "co.uk")]
    key_N2 = url_hosts.host_keys(*packed(names))
    for half in range(2):
        assert len(np.unique(key_N2[:, half])) == len(names)
    np.testing.assert_array_equal(url_hosts.host_keys(*packed([n.upper() for n in names])), key_N2)


def test_spans_broken_bytes_give_the_same_whatever_lies_around_them() -> None:
    rows = [b"http://" + row for row in hostile_rows(4, 400)] + hostile_rows(5, 400)
    plain = hosts(raw_texts(rows))
    for before, after in ((b"http://a@", b"@b/"), (b"//", b"."), (b"[", b"]")):
        assert hosts(raw_texts(rows, before, after)) == plain

"""URL filter: every rule by hand, datatrove's verdicts on real and made-up URLs, fingerprints, hostile batches."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.dag import load_dag
from pipeline.errors import DataError, FieldError, StoreError
from pipeline.plan import make_plan
from pipeline.stage import NarrowContext, Verdict
from stages.url_filter import Config, url_filter
from tests.shared_data import REPOSITORY, SHARED, needs_shared
from tests.stages.batches import reasons
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

PEERS = REPOSITORY / ".peers" / "bin" / "python"
ASSETS = REPOSITORY / ".peers/lib/python3.11/site-packages/datatrove/assets"
needs_peers = pytest.mark.skipif(not PEERS.exists(), reason="the peers' environment, with datatrove, is not there")
SAME_REASON = {
    None: None, "domain": "blocked_domain", "subdomain": "blocked_host", "url": "blocked_url",
    "hard_blacklisted": "banned_word", "soft_blacklisted": "too_many_soft_words",
    "blacklisted_subword": "banned_subword",
}  # fmt: skip
PEER_SCRIPT = """
import json, sys
from datatrove.data import Document
from datatrove.pipeline.filters import URLFilter
from tldextract import TLDExtract
asked = json.load(sys.stdin)
heuristic = URLFilter(use_integrated_lists=False, **asked["lists"])
heuristic.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
verdicts = [heuristic.filter(Document(text="", id="0", metadata={"url": url})) for url in asked["urls"]]
json.dump([None if verdict is True else verdict[1] for verdict in verdicts], sys.stdout)
"""
LISTS = {
    "blocked_domains": ["example.co.uk", "co.uk", "b.host.com", "1.2.3.4", ".tree.org"],
    "blocked_urls": ["http://page.com/bad", "other.com/x"],
    "banned_words": ["Wolf", "big-bad"],
    "banned_subwords": ["grandma"],
    "soft_words": ["red", "hood", "basket"],
    "exempt_domains": ["fine.org", "ok.host.com"],
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return made(tmp_path, LISTS)


def made(folder: Path, lists: dict[str, list[str]]) -> Config:
    """A config with these lists as files."""
    for name, entries in lists.items():
        (folder / name).write_text("\n".join(entries))
    return Config(**{name: (str(folder / name),) for name in lists})


def judge(urls: Sequence[str | None] | pa.Array, config: Config) -> Verdict:
    array = urls if isinstance(urls, pa.Array) else pa.array(urls, pa.string())
    return url_filter.function(config, NarrowContext(step="test"))(pa.record_batch({"url": array}))


def peer(urls: list[str], lists: dict[str, list[str]]) -> list[str | None]:
    """datatrove's verdicts, in our words."""
    names = {
        "extra_domains": "blocked_domains", "extra_urls": "blocked_urls", "banned_words": "banned_words",
        "banned_subwords": "banned_subwords", "soft_banned_words": "soft_words",
    }  # fmt: skip
    asked = {"urls": urls, "lists": {theirs: lists[ours] for theirs, ours in names.items()}}
    answer = subprocess.run([PEERS, "-c", PEER_SCRIPT], input=json.dumps(asked), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return [SAME_REASON[reason] for reason in json.loads(answer.stdout)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://a.b.example.co.uk/x", "blocked_domain"),
        ("https://me@A.EXAMPLE.co.uk.:80/", "blocked_domain"),
        ("http://other.co.uk/", None),
        ("http://co.uk/", "blocked_host"),
        ("http://a.b.tree.org", "blocked_domain"),
        ("http://b.host.com", "blocked_host"),
        ("http://a.b.host.com", None),
        ("http://1.2.3.4:8080/", "blocked_host"),
        ("http://page.com/bad", "blocked_url"),
        ("https://page.com/bad", "blocked_url"),
        ("http://page.com/bad/", None),
        ("http://other.com/x", "blocked_url"),
        ("http://a.com/the-WOLF.html", "banned_word"),
        ("http://a.com/wolves", None),
        ("http://a.com/bigbad", "banned_word"),
        ("http://a.com/big-bad", None),
        ("http://a.com/red/hood", "too_many_soft_words"),
        ("http://a.com/red/red", None),
        ("http://a.com/G-rand_Ma.html", "banned_subword"),
        ("http://fine.org/wolf", None),
        ("http://www.fine.org/red-hood", None),
        ("http://ok.host.com/wolf", None),
        ("http:///wolf", "banned_word"),
        ("http:///x", None),
        ("", None),
        (None, None),
    ],
)
def test_url_filter_url_is_judged_by_the_first_rule_it_breaks(config: Config, url: str | None, reason: str) -> None:
    assert reasons(judge([url], config)) == [reason]


def test_url_filter_report_names_words_and_counts_what_is_kept(config: Config) -> None:
    urls = [None, "", "http:///x", "http://fine.org/", "http://a.com/wolf", "http://a.com/grandma", "http://b.com/wolf"]
    verdict = judge(urls, config)
    assert verdict.counters == {"no_url": 2, "malformed_url": 1, "exempt": 1}
    assert {name: values.to_pylist() for name, values in verdict.tallies.items()} == {
        "banned_word": ["wolf", "wolf"], "banned_subword": ["grandma"],
    }  # fmt: skip
    soft = judge(["http://a.com/red-hood-basket"], config).drops
    assert soft and (soft.value_N.tolist(), soft.threshold_N.tolist()) == ([3.0], [1.0])


def real_urls() -> list[str]:
    """The addresses of the real pages."""
    return sorted(
        {
            uri.decode()
            for path in sorted((SHARED / "data/warc").glob("*.warc.gz"))
            for uri in re.findall(rb"\r\nWARC-Target-URI: (\S+)", gzip.decompress(path.read_bytes()))
        }
    )


def lists_from(urls: list[str], rng: random.Random) -> dict[str, list[str]]:
    """Lists that hit some of the URLs: their hosts and the names above those, public suffixes too; words of theirs.

    IP addresses and the made-up `.example` are left out: datatrove finds no listed host there.
    """
    hosts = sorted({match[1] for url in urls if (match := re.match(r"\w+://([\w.-]+)", url))})
    hosts = [host for host in hosts if not re.search(r"\.example$|^[\d.]+$", host)]
    above = [host.partition(".")[2] for host in hosts]
    words = sorted({word for url in urls for word in re.findall(r"[a-z0-9]+", url)} - {"http", "https", "www", "com"})
    return {
        "blocked_domains": [*rng.sample(hosts, len(hosts) // 5), *filter(None, rng.sample(above, len(above) // 9))],
        "blocked_urls": rng.sample(urls, len(urls) // 12),
        "banned_words": rng.sample(words, len(words) // 80),
        "banned_subwords": [w + v[:2] for w, v in pairwise(rng.sample(words, len(words) // 20)) if len(w) > 3],
        "soft_words": rng.sample(words, len(words) // 8),
    }  # fmt: skip


@needs_peers
@needs_shared
@pytest.mark.slow
def test_url_filter_real_urls_get_datatroves_verdicts(tmp_path: Path) -> None:
    urls = real_urls()
    assert len(urls) > 4000
    lists = lists_from(urls, random.Random(1))
    ours, theirs = reasons(judge(urls, made(tmp_path, lists))), peer(urls, lists)
    different = [(url, a, b) for url, a, b in zip(urls, ours, theirs, strict=True) if a != b]
    assert [row for row in different if not re.search("[A-Z]", row[0])] == []
    assert set(theirs) == set(SAME_REASON.values())
    # the rest have capitals: the words in them, in lower case, are what datatrove does not find
    lowered = peer([url.lower() for url, _, _ in different], lists)
    assert [a for _, a, _ in different] == lowered


@needs_peers
@pytest.mark.slow
@pytest.mark.skipif(not ASSETS.is_dir(), reason="datatrove's own lists are not there")
def test_url_filter_datatroves_own_words_give_its_verdicts(tmp_path: Path) -> None:
    rng = random.Random(2)
    words = {
        name: [w for w in (ASSETS / f"{file}.txt").read_text().splitlines() if w]
        for name, file in (("banned_words", "banned_words"), ("banned_subwords", "banned_subwords"),
                           ("soft_words", "soft_banned_words"))
    }  # fmt: skip
    lists = {"blocked_domains": ["a.org"], "blocked_urls": ["http://b.org/"], **words}
    pieces = [*words["soft_words"], *words["soft_words"], *words["banned_words"], *words["banned_subwords"]]
    pieces += ["the", "page", "about", "x", "2024", "news"] * 60
    urls = [
        f"http://{rng.choice('abcd')}.org/"
        + "".join(rng.choice(pieces).lower() + rng.choice("-/._%?é") for _ in range(4))
        for _ in range(4000)
    ]
    ours, theirs = reasons(judge(urls, made(tmp_path, lists))), peer(urls, lists)
    assert [(url, a, b) for url, a, b in zip(urls, ours, theirs, strict=True) if a != b] == []
    assert {"banned_word", "too_many_soft_words", "banned_subword", None} <= set(theirs)


ODD_HOSTS = ["a.example.com", "A.Example.COM", "example.com.", "xn--mnchen-3ya.de", "münchen.de", "www.mün%63hen.de",
             "1.2.3.4", "[::1]", "a.nosuffix", "localhost", "co.uk", "b.co.uk", "www.ck", "b.c.ck", "city.kawasaki.jp",
             "a.b.kawasaki.jp", "a..b", "someone.blogspot.com", "ex ample.com", "", "x_y.org"]  # fmt: skip
DIFFERENCES = {  # what a URL has that datatrove treats otherwise
    "capitals": "[A-Z]",
    "another writing of the host": r"xn--|[^\x00-\x7f]|//[^/]*%|\[",
    "an IP address or no public suffix": r"[@/](1\.2\.3\.4|a\.nosuffix|localhost)\b",
    "a host that is a public suffix": r"[@/]co\.uk\b",
}


@needs_peers
@pytest.mark.slow
def test_url_filter_odd_urls_differ_from_datatrove_for_known_causes_alone(tmp_path: Path) -> None:
    rng = random.Random(3)
    urls = [
        f"{rng.choice(['http', 'http', 'https'])}://{rng.choice(['', '', 'me:x@'])}{rng.choice(ODD_HOSTS)}"
        f"{rng.choice(['', ':80'])}{rng.choice(['', '/', '/a/b?c=d', '/Big-Word', '#x', '?y'])}"
        for _ in range(6000)
    ]
    lists = {
        "blocked_domains": [*rng.sample(ODD_HOSTS[:-6], 10), "example.com", "blogspot.com", "ck", "kawasaki.jp"],
        "blocked_urls": rng.sample(urls, 60), "banned_words": ["Word"], "banned_subwords": ["eword"],
        "soft_words": ["a", "b"],
    }  # fmt: skip
    ours, theirs = reasons(judge(urls, made(tmp_path, lists))), peer(urls, lists)
    different = [(url, a, b) for url, a, b in zip(urls, ours, theirs, strict=True) if a != b]
    # a listed URL with another scheme, with a user, or without the slash
    different = [row for row in different if row[1] != "blocked_url" or row[0] in lists["blocked_urls"]]
    assert [row for row in different if not any(re.search(cause, row[0]) for cause in DIFFERENCES.values())] == []
    assert all(any(re.search(cause, url) for url, _, _ in different) for cause in DIFFERENCES.values())


def test_url_filter_batch_gives_each_row_what_it_gets_alone(config: Config) -> None:
    rows = raw_texts([b"http://" + row for row in hostile_rows(7, 60)] + hostile_rows(8, 60)).cast(pa.large_binary())
    urls = pa.LargeStringArray.from_buffers(len(rows), *rows.buffers()[1:])
    run = url_filter.function(config, NarrowContext(step="test"))
    whole = run(pa.record_batch({"url": urls})).drops
    assert whole is not None
    for n in range(len(urls)):
        alone = run(pa.record_batch({"url": urls.slice(n, 1)})).drops
        assert alone is not None and alone.code_N[0] == whole.code_N[n]
    empty = run(pa.record_batch({"url": urls.slice(0, 0)})).drops
    assert empty is not None and len(empty.code_N) == 0


def test_url_filter_huge_urls_are_judged_in_bounded_time(config: Config) -> None:
    for unit in ("a", ".", "@", "é", "%", "[", "a.", "/"):
        urls = ["http://" + unit * (2_000_000 // len(unit.encode()))] * 2
        assert judge(urls, config).counters["malformed_url"] == 2


def test_url_filter_lists_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="at least one of blocked_domains"):
        Config(exempt_domains=("x",))
    with pytest.raises(FieldError, match="a path or address"):
        Config(banned_words=("",))
    with pytest.raises(FieldError, match="at least 1"):
        Config(banned_words=("x",), min_soft_words=0)
    with pytest.raises(StoreError):
        judge([], Config(banned_words=(str(tmp_path / "none"),)))
    with pytest.raises(DataError, match="entry '--'"):
        judge([], made(tmp_path, {"banned_words": ["ok", "--"]}))


DAG = """\
version: 1
output: {folder}/out
steps:
  books: {{uses: stages.documents, with: {{source: {folder}/books.jsonl}}}}
  urls: {{uses: stages.url_filter, inputs: books, with: {{{lists}}}}}
"""


def test_url_filter_fingerprint_follows_content_and_kind_of_lists_but_not_their_place(tmp_path: Path) -> None:
    (tmp_path / "books.jsonl").write_text('{"text": "A page."}\n')
    for name, text in (("one", "a.com"), ("copy", "a.com"), ("two", "b.com"), ("hosts", "a.com\nb.com")):
        (tmp_path / name).write_text(text)

    def fingerprint(lists: str) -> str:
        path = tmp_path / "dag.yaml"
        path.write_text(DAG.format(folder=tmp_path, lists=lists.replace("[", f"[{tmp_path}/")))
        return make_plan(load_dag(str(path))).steps["urls"].fingerprint

    assert fingerprint("blocked_domains: [one]") == fingerprint("blocked_domains: [copy]")
    different = [
        "blocked_domains: [one]", "blocked_domains: [two]", "blocked_urls: [one]", "banned_words: [one]",
        "blocked_domains: [hosts]", "blocked_domains: [one], exempt_domains: [two]",
        "blocked_domains: [one], blocked_urls: [two]",
    ]  # fmt: skip
    assert len({fingerprint(lists) for lists in different}) == len(different)


def test_url_filter_same_verdicts_for_batches_of_any_size(config: Config) -> None:
    hosts, paths = ("a.com", "x.example.co.uk", "é.de", "fine.org"), ("", "wolf", "red-hood", "grandma")
    urls = [f"http://{host}/{path}" for host in hosts for path in paths]
    whole = reasons(judge(urls, config))
    assert [reason for k in range(0, 16, 3) for reason in reasons(judge(urls[k : k + 3], config))] == whole
    assert np.unique([r or "" for r in whole]).size == 5


CHECKED = """
import sys
from pathlib import Path
import pyarrow as pa
from tests.stages import test_c4_badwords, test_url_filter
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
folder = Path(sys.argv[1])
rows = [b"http://" + row for row in hostile_rows(3, 1500)] + hostile_rows(4, 1500)
test_url_filter.judge(raw_texts(rows), test_url_filter.made(folder, test_url_filter.LISTS))
lists = test_c4_badwords.write(folder, en=["a", "5km", "\\ufffd", "x" * 20_000], zh=["a", "\\ufffd"])
for language in ("en", "zh"):
    batch = test_c4_badwords.batch(raw_texts(rows), [language] * len(rows))
    test_c4_badwords.judge(batch, test_c4_badwords.Config(lists=lists))
"""


@pytest.mark.slow
def test_filters_by_lists_broken_utf8_indexes_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    command = [sys.executable, "-c", CHECKED, str(tmp_path)]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

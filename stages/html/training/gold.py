"""Pages whose main text is known, for training: from WARC shards and gold files, in folds by site.

Reads:  gold-*.jsonl.zst (`uri`, `source`, `real_url`, `gold`: a text or snippets `with` and `without`), WARC shards,
        broken_gold.tsv beside this file
Writes: GoldPages, in the order of the shards
Cost:   1 ms a page, nearly all of it reading; the gold files in memory
Source: CleanEval, CleanPortalEval, dragnet, L3S-GN1, readability.js and trafilatura's evaluation data have such gold
"""

from __future__ import annotations

import functools
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import publicsuffixlist
import xxhash
import zstandard

from pipeline.errors import DataError
from stages.commoncrawl import Config, list_shards, read_shard
from stages.decoding.charset import decode

NUM_FOLDS = 5
_BROKEN = Path(__file__).with_name("broken_gold.tsv")
_LONG_LINE_WORDS = 3

_LINK_TAG = re.compile(r"<(?:link|meta|base)\b[^>]{0,1000}>", re.IGNORECASE)
_OWN_URL = re.compile(r"""rel\s*=\s*["']?canonical|["']?og:url|<base\b""", re.IGNORECASE)
_URL = re.compile(r"""(?:href|content)\s*=\s*["']?\s*(https?://[^"'\s>]+)""", re.IGNORECASE)
_LINK = re.compile(
    r"""<(?:a|form|link|img)\b[^>]{0,500}?(?:href|src|action)\s*=\s*["']?\s*(https?://[^"'\s>]+)""", re.I
)
# Sites that pages of all others link to or load from.
_THIRD_PARTIES = re.compile(
    r"doubleclick|google|facebook|fbcdn|twitter|youtube|flickr|digg|del\.icio\.us|delicious|reddit|stumbleupon|amazon|"
    r"technorati|newsvine|gravatar|feedburner|wikipedia|linkedin|pinterest|adbrite|2mdn|akamai|cloudfront|addthis|"
    r"sharethis|blogger|typepad|wp\.com|w3\.org|yahoo|apple|microsoft|adobe|myspace|zedo|overture|atdmt|purl\.org"
)


@dataclass(frozen=True, slots=True)
class Snippets:
    """What the main text must have, and what it must not."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gold:
    """A row of a gold file. `main_text` is as the annotators left it; null where a page has none."""

    uri: str
    source: str
    real_url: bool
    main_text: str | Snippets | None


@dataclass(frozen=True, slots=True)
class GoldPage:
    """`label_text`: what to align the page with; Gold.main_text without what was selected twice, and with entities
    resolved. `site`: the registered domain, of the URL or, where that was made up, of the URL the page gives as its own
    or most links go to; the URI where there is none. `fold`: 0 to NUM_FOLDS - 1, the same for all pages of a site."""

    gold: Gold
    html: str
    label_text: str | Snippets | None
    site: str
    fold: int


def read_gold(folder: Path) -> dict[str, Gold]:
    """The rows of a folder's gold files that have gold, by URI. Raises DataError for what is no such file."""
    rows: dict[str, Gold] = {}
    for path in sorted(folder.glob("gold-*.jsonl.zst")):
        try:
            rows |= {gold.uri: gold for gold in _rows(path)}
        except (zstandard.ZstdError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"unreadable: {error!r}", where=str(path), expected="lines of JSON with uri, source, real_url and gold"
            ) from error
    return rows


def _rows(path: Path) -> Iterator[Gold]:
    with path.open("rb") as raw:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), encoding="utf-8"):
            row = json.loads(line)
            if row["gold"]:
                yield Gold(row["uri"], row["source"], row["real_url"], _main_text(row["gold"]))


def _main_text(gold: str | dict[str, list[str]]) -> str | Snippets:
    return gold if isinstance(gold, str) else Snippets(tuple(gold["with"]), tuple(gold["without"]))


@functools.cache
def broken_gold() -> dict[str, str]:
    """Why a page's gold does not say what its main text is, by URI."""
    lines = _BROKEN.read_text(encoding="utf-8").splitlines()
    return {line.split("\t")[0]: line.split("\t")[1] for line in lines if line and not line.startswith("#")}


def read_pages(
    gold_folder: Path, warc_folder: Path, *, with_broken: bool = False, with_unlabelled: bool = False
) -> Iterator[GoldPage]:
    """The pages that have gold, without those whose gold is broken; on demand with these, and with pages that have
    none. Raises StoreError where reading fails."""
    rows = read_gold(gold_folder)
    broken = {} if with_broken else broken_gold()
    cfg = Config(source=str(warc_folder))
    for shard in list_shards(cfg):
        for batch in read_shard(cfg, shard):
            columns = [batch.documents[name].to_pylist() for name in ("url", "payload", "content_type")]
            for uri, payload, content_type in zip(*columns, strict=True):
                gold = rows.get(uri)
                if gold is None and with_unlabelled:
                    gold = Gold(uri, "unlabelled", not (urlsplit(uri).hostname or "").endswith(".example"), None)
                if gold is not None and payload is not None and uri not in broken:
                    yield _page(gold, decode(payload, content_type).text)


def _page(gold: Gold, html: str) -> GoldPage:
    site = site_of(gold, html)
    text = label_text(gold.source, gold.main_text) if isinstance(gold.main_text, str) else gold.main_text
    return GoldPage(gold, html, text, site, fold_of(site))


def label_text(source: str, text: str) -> str:
    """GoldPage.label_text."""
    match source:
        case "l3s-gn1":
            return without_repeats(text)
        case "cleanportaleval":
            return unescape(text)
    return text


def fold_of(site: str) -> int:
    return xxhash.xxh3_64_intdigest(site.encode("utf-8", "replace")) % NUM_FOLDS


def without_repeats(text: str) -> str:
    """A text without the lines that repeat the one before, and the longer ones that repeat any: an element selected in
    another one is given with both."""
    kept: list[str] = []
    seen = set[tuple[str, ...]]()
    before: tuple[str, ...] = ()
    for line in text.splitlines():
        words = tuple(line.split())
        if not words or words == before or words in seen:
            continue
        if len(words) >= _LONG_LINE_WORDS:
            seen.add(words)
        before = words
        kept.append(line)
    return "\n".join(kept)


def site_of(gold: Gold, html: str) -> str:
    """GoldPage.site."""
    if gold.real_url and registered_domain(gold.uri):
        return registered_domain(gold.uri)
    for tag in _LINK_TAG.findall(html):
        url = _URL.search(tag)
        if url and _OWN_URL.search(tag) and registered_domain(url.group(1)):
            return registered_domain(url.group(1))
    domains = Counter(registered_domain(url) for url in _LINK.findall(html))
    own = [(count, domain) for domain, count in domains.items() if domain and not _THIRD_PARTIES.search(domain)]
    return max(own)[1] if own else gold.uri


def registered_domain(url: str) -> str:
    """`example.co.uk` of `http://www.example.co.uk/a`, by the ICANN section of the public suffix list; empty where
    there is none. Of an archive's URL, that of the page archived."""
    archived = re.search(r"web\.archive\.org/web/\w+/(https?://.*)", url)
    try:
        host = urlsplit(archived.group(1) if archived else url).hostname or ""
    except ValueError:  # a bracket that is no IPv6 address
        return ""
    return _suffixes().privatesuffix(host) or ""


@functools.cache
def _suffixes() -> publicsuffixlist.PublicSuffixList:
    return publicsuffixlist.PublicSuffixList(only_icann=True)

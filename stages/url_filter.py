"""Drop pages by their address: listed domains, hosts and URLs, and listed words in the URL.

Reads:  url
Writes: nothing; drops documents
Cost:   1 us per URL in large batches, 3 us in those of 256; a listed domain or URL takes 16 bytes and 0.5 us to load
Source: RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), as datatrove 0.10.1's URLFilter defines it; domains by the
        public suffix list, whose version stages/wordlists/public_suffixes.py names

In this order: `blocked_domain` (the registered domain is listed: `example.co.uk` for `a.b.example.co.uk`),
`blocked_host` (the host itself is), `blocked_url`, `banned_word` (a whole word of the URL), `too_many_soft_words`
(`min_soft_words` different ones or more), `banned_subword` (anywhere in the URL's letters and digits, put together).
An entry `co.uk` matches no more than the host `co.uk`; `.co.uk` or `*.co.uk` matches it and all below it.

Lists have one entry a line, plain or gzip; lines that begin with # are comments. Words are made of ASCII letters and
digits; in lists, other characters are left out. Listed hosts and URLs are kept as 128-bit hashes, so that an innocent
page is not taken for a listed one (stages/kernels/key_set.py).

Where this differs from datatrove: upper and lower case are the same in hosts and words (there, words of a URL with
capitals are never found); hosts are compared in one way of writing (stages/wordlists/hosts.py); IP addresses and names
under no public suffix can be blocked; a listed URL matches with http and https, user or none, and `example.com` is
`example.com/`. A null or empty URL is kept and counted, one without a host is counted and held against the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.config import LOCATION
from pipeline.errors import DataError, FieldError
from pipeline.http_reader import shown
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.phrases import PhraseSet
from stages.wordlists import public_suffixes
from stages.wordlists.reading import absolute, words

_LISTS = ("blocked_domains", "blocked_urls", "banned_words", "banned_subwords", "soft_words", "exempt_domains")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Lists, each by paths or addresses; pages of `exempt_domains` are held against nothing."""

    blocked_domains: tuple[str, ...] = field(default=(), metadata=LOCATION)
    blocked_urls: tuple[str, ...] = field(default=(), metadata=LOCATION)
    banned_words: tuple[str, ...] = field(default=(), metadata=LOCATION)
    banned_subwords: tuple[str, ...] = field(default=(), metadata=LOCATION)
    soft_words: tuple[str, ...] = field(default=(), metadata=LOCATION)
    exempt_domains: tuple[str, ...] = field(default=(), metadata=LOCATION)
    min_soft_words: int = 2

    def __post_init__(self) -> None:
        for name in _LISTS:
            object.__setattr__(self, name, absolute(name, getattr(self, name)))
        if not any(getattr(self, name) for name in _LISTS[:-1]):
            raise FieldError("blocked_domains", self.blocked_domains, f"at least one of {', '.join(_LISTS[:-1])}")
        if self.min_soft_words < 1:
            raise FieldError("min_soft_words", self.min_soft_words, "a whole number of at least 1")


def _files(cfg: Config) -> list[str]:
    """All lists. The public suffix list before each kind tells a list moved from one kind to another."""
    return [location for name in _LISTS for location in (public_suffixes.list_file(), *getattr(cfg, name))]


@narrow(version=1, reads=("url",), files=_files, measures=lambda cfg: ("num_soft_words",) if cfg.soft_words else ())
def url_filter(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop documents by their URL; StoreError or DataError where a list cannot be used."""
    from stages.kernels import limits, phrases, utf8
    from stages.kernels.key_set import contains
    from stages.wordlists import hosts

    suffixes = public_suffixes.load()
    blocked, exempt = hosts.read_hosts(cfg.blocked_domains), hosts.read_hosts(cfg.exempt_domains)
    blocked_urls = hosts.read_urls(cfg.blocked_urls)
    word_letters, letters = phrases.ascii_alphabet(0), phrases.ascii_alphabet(phrases.SKIPPED)
    banned = phrases.phrase_set(_ascii_words(cfg.banned_words), word_letters, whole_words=True)
    soft = phrases.phrase_set(_ascii_words(cfg.soft_words), word_letters, whole_words=True)
    subwords = phrases.phrase_set(_ascii_words(cfg.banned_subwords), letters, whole_words=False)

    def judge(batch: pa.RecordBatch) -> Verdict:
        url = utf8.view(batch["url"])
        no_url_N = url.null_N | (np.diff(url.offsets) == 0)
        host = hosts.hosts_of(url, suffixes)
        exempt_N = exempt.has_domain(host) | exempt.has_host(host)
        judged_N = ~(no_url_N | exempt_N)
        rows = np.flatnonzero(judged_N)
        banned_in = phrases.scan(url, rows, word_letters, banned)
        soft_in = phrases.scan(url, rows, word_letters, soft)
        subwords_in = phrases.scan(url, rows, letters, subwords)
        checks: list[limits.Limit | limits.Flag] = [
            limits.Flag(reason="blocked_domain", violated_N=judged_N & blocked.has_domain(host)),
            limits.Flag(reason="blocked_host", violated_N=judged_N & blocked.has_host(host)),
            limits.Flag(reason="blocked_url", violated_N=judged_N & contains(blocked_urls, host.url_N2)),
            limits.Flag(reason="banned_word", violated_N=banned_in.first_N >= 0),
            limits.Limit(
                measure="num_soft_words", value_N=soft_in.num_distinct_N.astype(np.float64), low=0, high=10,
                at_most=cfg.min_soft_words - 1, too_high="too_many_soft_words",
            ),
            limits.Flag(reason="banned_subword", violated_N=subwords_in.first_N >= 0),
        ]  # fmt: skip
        drops = limits.drops(checks, batch.num_rows)
        banned_N, subword_N = (drops.code_N == drops.reasons.index(r) for r in ("banned_word", "banned_subword"))
        return Verdict(
            drops=drops,
            measures=limits.measures(checks) if cfg.soft_words else {},
            tallies={
                "banned_word": _names(banned, banned_in.first_N[banned_N]),
                "banned_subword": _names(subwords, subwords_in.first_N[subword_N]),
            },
            counters={
                "no_url": int(no_url_N.sum()),
                "malformed_url": int((~no_url_N & (host.kind_N == hosts.NONE)).sum()),
                "exempt": int(exempt_N.sum()),
            },
        )

    return judge


def _ascii_words(locations: Sequence[str]) -> list[str]:
    """The entries of word lists in lower case, without what is no ASCII letter or digit; DataError where none is."""
    found = []
    for location in locations:
        for entry in words(location):
            word = "".join(c for c in entry.lower() if c.isascii() and c.isalnum())
            if not word:
                raise DataError(
                    f"entry {entry[:80]!r}", where=shown(location), expected="an ASCII letter or digit in it"
                )
            found.append(word)
    return found


def _names(listed: PhraseSet, first_H: np.ndarray) -> pa.Array:
    """The phrases by their number."""
    return pa.array([listed.phrases[k] for k in first_H.tolist()], pa.string())

r"""C4's bad-words rule: a page with a word or phrase of its language's list is dropped.

Reads:  id, text; `language`, where the documents have that column
Writes: nothing; drops documents
Cost:   about 6 ns per byte, however long the lists
Source: Raffel et al. 2020 (jmlr.org/papers/v21/20-074.html); definitions of datatrove 0.10.1's C4BadWordsFilter

A phrase matches in the lower-cased text where no character of a word (`\w`) stands right before or behind it; in
Japanese, Thai and Chinese it matches anywhere. Lists are given by language, one phrase a line (lines that begin with #
are comments), and none comes with this stage. The report tallies, for the dropped pages, the phrase that ends first.
Documents in a language without a list, and null texts, are kept; the former are counted.

`num_bad_words` are the places where a phrase ends; `bad_word_share` is that number by the words of the text, or in
Japanese, Thai and Chinese by its letters and digits. With `max_bad_words: null` and a `max_share`, pages that merely
mention such a word stay.

Where this differs from datatrove: which pages with bad words `keep_fraction` keeps follows from the document's id and
`seed`; there it is drawn from a stream of random numbers, and changes with the order of the documents and the number of
workers. Phrases are lower-cased too (there, one with a capital is never found), and a final sigma is a sigma.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import LOCATION
from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.phrases import PhraseSet
from stages.wordlists.reading import absolute, words

UNSPACED = frozenset(("ja", "th", "zh"))

_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults: datatrove 0.10.1. `null` turns a limit off."""

    lists: Mapping[str, str] = field(default_factory=dict, metadata=LOCATION)  # by language: a path or an address
    default_language: str = "en"  # of documents without a language
    max_bad_words: int | None = 0
    max_share: float | None = None
    keep_fraction: float = 0.0  # of the pages beyond a limit, kept all the same
    seed: int = 1
    # entries that do not count: C4 found each alone in over a tenth of the Japanese or Chinese pages
    ignored: tuple[str, ...] = ("sm", "グロ", "女の子", "性")

    def __post_init__(self) -> None:
        if not self.lists:
            raise FieldError("lists", self.lists, "a list for at least one language, as in `lists: {en: words.txt}`")
        for code in self.lists:
            if not _CODE.fullmatch(code):
                raise FieldError("lists", code, "a language code as key, as in `lists: {en: words.txt, zh: liste.txt}`")
        locations = absolute("lists", tuple(self.lists.values()))
        object.__setattr__(self, "lists", dict(zip(self.lists, locations, strict=True)))
        if self.max_bad_words is None and self.max_share is None:
            raise FieldError("max_bad_words", None, "a limit here or in max_share")
        if self.max_bad_words is not None and self.max_bad_words < 0:
            raise FieldError("max_bad_words", self.max_bad_words, "0 or more, or null")
        for name in ("max_share", "keep_fraction"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise FieldError(name, share, "a number from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Of N documents, float64[N]: matches, and matches by words; NaN without a list. The phrase that ends first, string
    or null. bool[N]: whether there is a list."""

    num_N: np.ndarray
    share_N: np.ndarray
    first_N: np.ndarray
    has_list_N: np.ndarray


@narrow(
    version=1,
    reads=("id", "text"),
    files=lambda cfg: [cfg.lists[language] for language in sorted(cfg.lists)],
    measures=("num_bad_words", "bad_word_share"),
)
def c4_badwords(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop documents with listed words; StoreError or DataError where a list cannot be used."""
    from stages.kernels import limits
    from stages.kernels.document_hash import id_bytes, share_of

    match = _matcher(cfg)

    def judge(batch: pa.RecordBatch) -> Verdict:
        found = match(batch)
        checks: list[limits.Limit | limits.Flag] = [
            limits.Limit(
                measure="num_bad_words", value_N=found.num_N, low=0, high=20,
                at_most=cfg.max_bad_words, too_high="bad_word",
            ),
            limits.Limit(
                measure="bad_word_share", value_N=found.share_N, low=0, high=0.1,
                at_most=cfg.max_share, too_high="too_many_bad_words",
            ),
        ]  # fmt: skip
        drops = limits.drops(checks, batch.num_rows)
        spared_N = np.zeros(batch.num_rows, np.bool_)
        if cfg.keep_fraction:
            spared_N = (drops.code_N >= 0) & (share_of(id_bytes(batch["id"]), cfg.seed) < cfg.keep_fraction)
            drops.code_N[spared_N] = -1
        return Verdict(
            drops=drops,
            measures=limits.measures(checks),
            tallies={"bad_word": pa.array(found.first_N[drops.code_N >= 0], pa.string())},
            counters={
                "no_list_for_language": int((~found.has_list_N).sum()),
                "kept_with_bad_words": int(spared_N.sum()),
            },
        )

    return judge


def _matcher(cfg: Config) -> Callable[[pa.RecordBatch], Matches]:
    """Open the lists, and hold a batch against them, each document against that of its language."""
    from stages.kernels import limits, phrases, utf8

    alphabet = phrases.text_alphabet()
    ignored = {phrase.lower() for phrase in cfg.ignored}
    listed: dict[str, PhraseSet] = {}
    for language, location in cfg.lists.items():
        wanted = [phrase for phrase in words(location) if phrase.lower() not in ignored]
        listed[language] = phrases.phrase_set(wanted, alphabet, whole_words=language not in UNSPACED)

    def match(batch: pa.RecordBatch) -> Matches:
        text = utf8.view(batch["text"])
        language_N = _languages(batch, cfg.default_language)
        num_N, share_N = np.full(len(text), np.nan), np.full(len(text), np.nan)
        first_N = np.full(len(text), None, object)
        for language, phrase_set in listed.items():
            rows = np.flatnonzero(pc.equal(language_N, language).to_numpy(zero_copy_only=False))
            found = phrases.scan(text, rows, alphabet, phrase_set)
            num_N[rows] = found.num_matches_N[rows]
            share_N[rows] = limits.ratio(found.num_matches_N[rows], np.maximum(found.num_words_N[rows], 1))
            hits = rows[found.first_N[rows] >= 0]
            first_N[hits] = np.array(phrase_set.phrases, object)[found.first_N[hits]]
        return Matches(num_N=num_N, share_N=share_N, first_N=first_N, has_list_N=~np.isnan(num_N))

    return match


def _languages(batch: pa.RecordBatch, default: str) -> pa.Array:
    if "language" not in batch.schema.names:
        return pa.array([default] * batch.num_rows, pa.string())
    return pc.fill_null(batch["language"].cast(pa.string()), default)

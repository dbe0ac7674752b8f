"""Signatures of whole texts against datasketch over shingles cut in plain Python."""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Sequence

import datasketch
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from pipeline.errors import FieldError
from pipeline.stage import NarrowContext, Verdict
from pipeline.stage_loader import load_stage
from stages import signatures
from stages.kernels import hashing, minhash
from tests.shared_data import SHARED, needs_shared
from tests.stages.kernels.test_fold import simplify


def _sign(texts: Sequence[str | None], **config: object) -> Verdict:
    stage = load_stage("stages.signatures", "test")
    sign = stage.function(signatures.Config(**config), NarrowContext(step="signatures"))  # type: ignore[arg-type]
    return sign(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def _datasketch(words: list[str], ngram: int, num_rows: int, seed: int) -> list[int]:
    theirs = datasketch.MinHash(num_rows, seed, scheme="affine32", hashfunc=hashing.shingle_hash)
    theirs.update_batch([" ".join(words[i : i + ngram]).encode() for i in range(len(words) - ngram + 1)])
    return [int(v) for v in theirs.hashvalues]


@pytest.mark.parametrize(
    "bands, rows, extra, ngram, seed", [(14, 8, 0, 5, 1), (14, 8, 144, 5, 1), (3, 5, 1, 2, 9), (1, 1, 0, 1, 0)]
)
def test_signatures_equal_datasketch(bands: int, rows: int, extra: int, ngram: int, seed: int) -> None:
    texts = ["The Quick brown fox, jumps over 2 lazy dogs.", "Ünïcödé words and 3,000.5 more of them; “quoted”!" * 20]
    verdict = _sign(texts, num_bands=bands, rows_per_band=rows, extra_rows=extra, ngram=ngram, seed=seed)
    expected = [_datasketch(simplify(t).split(), ngram, bands * rows + extra, seed) for t in texts]
    assert verdict.columns["signature"].to_pylist() == expected


def test_signatures_too_short_texts_get_null_and_are_counted() -> None:
    verdict = _sign(["a b c d", "a b c d e", None, "", "...", "这是中文页面"])
    assert [s is None for s in verdict.columns["signature"].to_pylist()] == [True, False, True, True, True, False]
    assert verdict.counters == {"too_short": 4}
    assert verdict.columns["signature"].type == pa.list_(pa.uint32(), 112)


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts: list[str | None] = [f"some words of page {'abc'[n % 3] * n} and then more" for n in range(40)]
    whole = _sign(texts).columns["signature"].to_pylist()
    assert [_sign([t]).columns["signature"].to_pylist()[0] for t in texts] == whole
    sliced = pa.record_batch({"text": pa.array([*texts, *texts], pa.large_string())}).slice(40, 7)
    stage = load_stage("stages.signatures", "test")
    sign = stage.function(signatures.Config(), NarrowContext(step="signatures"))
    assert sign(sliced).columns["signature"].to_pylist() == whole[:7]


def test_signatures_plain_normalisation_keeps_numbers_apart() -> None:
    texts: list[str | None] = ["page 1 of the long list", "page 2 of the long list"]
    same, other = (_sign(texts, normalisation=n).columns["signature"].to_pylist() for n in ("datatrove", "plain"))
    assert same[0] == same[1]
    assert other[0] != other[1]


@pytest.mark.parametrize("normalisation", ["datatrove", "plain"])
@pytest.mark.parametrize("ngram", [1, 5, 64])
def test_signatures_of_characters_equal_datasketch(normalisation: str, ngram: int) -> None:
    texts = [
        "中文网页，没有空格。\n第二段 文字！" * 5, "Ünïcödé  words, and 3,000.5 more; “quoted”! " * 4,
        "かな\u3099 한국어 👍🏽 ﬁ" * 9,
    ]  # fmt: skip
    verdict = _sign(texts, shingles="characters", normalisation=normalisation, ngram=ngram)
    normalised = [simplify(t) if normalisation == "datatrove" else _plain(t) for t in texts]
    expected = []
    for text in normalised:
        theirs = datasketch.MinHash(112, 1, scheme="affine32", hashfunc=hashing.character_shingle_hash)
        theirs.update_batch([text[i : i + ngram].encode() for i in range(len(text) - ngram + 1)])
        expected.append([int(v) for v in theirs.hashvalues])
    assert verdict.columns["signature"].to_pylist() == expected


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFD", text.lower()).split())


def test_signatures_of_characters_too_short_texts_are_counted_by_characters() -> None:
    verdict = _sign(["中文网页", "中文网页。", "中文网页！好", " a  b ", "ab c\nd", None, ""], shingles="characters")
    # Punctuation at the end is white space at the end; "a b" has three characters.
    assert [s is None for s in verdict.columns["signature"].to_pylist()] == [True, True, False, True, False, True, True]
    assert verdict.counters == {"too_short": 5}


@needs_shared
@pytest.mark.parametrize("shingles", ["words", "characters"])
def test_signatures_changed_chinese_texts_share_a_band_as_often_as_the_curve_says(shingles: str) -> None:
    """5% of the characters replaced; the pairs' Jaccard similarities are counted from the texts' own shingles."""
    texts = _chinese_texts()
    letters = random.Random(1)
    pool = "".join(texts)
    changed = ["".join(letters.choice(pool) if letters.random() < 0.05 else c for c in t) for t in texts]
    signed = [_sign(side, shingles=shingles).columns["signature"] for side in (texts, changed)]
    one, other = (minhash.band_keys(side.values.to_numpy().reshape(-1, 112), 14, 8) for side in signed)
    found = (one == other).any(axis=1)
    jaccard = []
    for text, other_text in zip(texts, changed, strict=True):
        left, right = _shingle_set(text, shingles), _shingle_set(other_text, shingles)
        jaccard.append(len(left & right) / len(left | right))
    chance = minhash.lsh_probability(np.array(jaccard), 14, 8)
    assert 0.1 < chance.mean() < 0.5
    assert abs(found.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())


def _chinese_texts() -> list[str]:
    with open(SHARED / "data" / "text" / "lm-00.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows if row["lang"].startswith("zh") and len(row["text"]) > 200]


def _shingle_set(text: str, shingles: str) -> set[str]:
    simple = simplify(text)
    if shingles == "characters":
        return {simple[i : i + 5] for i in range(len(simple) - 4)}
    words = "".join(f" {c} " if ord(c) >= 0x3000 else c for c in simple).split()
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


@pytest.mark.parametrize(
    "field, value", [("num_bands", 0), ("rows_per_band", -1), ("extra_rows", -1), ("ngram", 65), ("seed", 1 << 32)]
)
def test_signatures_config_out_of_range_is_refused(field: str, value: int) -> None:
    with pytest.raises(FieldError, match=field):
        signatures.Config(**{field: value})  # type: ignore[arg-type]


@needs_shared
def test_signatures_real_pages_equal_datasketch() -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    texts: list[str | None] = []
    with open(SHARED / "data" / "warc" / "DEV-MAIN-00003.warc.gz", "rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
            body = record.reader.read()
            texts.append(extract_plain_text(bytes_to_str(body, detect_encoding(body) or "utf-8"), main_content=True))
    # Han, kana and Hangul letters are split in ours alone: pages without them show that the rest is the same.
    plain = [
        t
        for t in texts
        if t and not any("\u1100" <= c <= "\u11ff" or "\u2e80" <= c <= "\ud7ff" or c >= "\uf900" for c in t)
    ]
    signed = _sign(list(plain)).columns["signature"].to_pylist()
    long = [(t, s) for t, s in zip(plain, signed, strict=True) if s is not None]
    assert len(long) > 30
    for text, signature in long[::4]:
        assert signature == _datasketch(simplify(text).split(), 5, 112, 1)

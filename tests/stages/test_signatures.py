"""Signatures of whole texts against datasketch over shingles cut in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import datasketch
import pyarrow as pa
import pytest

from pipeline.errors import FieldError
from pipeline.stage import NarrowContext, Verdict
from pipeline.stage_loader import load_stage
from stages import signatures
from stages.kernels import hashing
from tests.shared_data import SHARED, needs_shared
from tests.stages.kernels.test_fold import simplify


def _sign(texts: Sequence[str | None], **config: object) -> Verdict:
    stage = load_stage("stages.signatures", "test")
    sign = stage.function(signatures.Config(**config), NarrowContext(step="signatures"))  # type: ignore[arg-type]
    return sign(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def _datasketch(words: list[str], ngram: int, num_rows: int, seed: int) -> list[int]:
    minhash = datasketch.MinHash(num_rows, seed, scheme="affine32", hashfunc=hashing.shingle_hash)
    minhash.update_batch([" ".join(words[i : i + ngram]).encode() for i in range(len(words) - ngram + 1)])
    return [int(v) for v in minhash.hashvalues]


@pytest.mark.parametrize("bands, rows, ngram, seed", [(14, 8, 5, 1), (3, 5, 2, 9), (1, 1, 1, 0)])
def test_signatures_equal_datasketch(bands: int, rows: int, ngram: int, seed: int) -> None:
    texts = ["The Quick brown fox, jumps over 2 lazy dogs.", "Ünïcödé words and 3,000.5 more of them; “quoted”!" * 20]
    verdict = _sign(texts, num_bands=bands, rows_per_band=rows, ngram=ngram, seed=seed)
    expected = [_datasketch(simplify(t).split(), ngram, bands * rows, seed) for t in texts]
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


@pytest.mark.parametrize("field, value", [("num_bands", 0), ("rows_per_band", -1), ("ngram", 65), ("seed", 1 << 32)])
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

"""Results of the dedup and packing kernels on fixed input, as recorded once: a change of speed must not change a bit.

The digests are those of the code of November 2026, before its kernels were rewritten. Where a result is meant to
change, the stage's version goes up and the digest is recorded anew.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from stages.kernels import document_hash, fold, fold_table, minhash, packing, shingles, union_find

ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz      ", "etaoinshr ETAOIN ,.;:'-\n\t 0123456789", "éèüñçøßàâ aeiou, ",
    "абвгдежзий клмноп, ", "日本語の文章です。テスト 中文字符", "한국어 텍스트 각 ",
    "مرحبا بالعالم ٣٤ ٫", "a\u0301e\u0308 o\u0327 ",
    "𝔘😀 \U0001d160ﬁ İ ≠ ｶﾞ", "0123456789.,٫ 12", "\x00\x01\x7f\x85\xa0\u2003\u2028 a",
]  # fmt: skip
BROKEN = [
    b"\xff",
    b"\xc3",
    b"\xe4\xb8",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\xe0\x80\x80",
]


def _numbers(count: int, below: int, seed: int) -> np.ndarray:
    """int64 [count] in [0, below), the same in every version of every library."""
    mixed = document_hash.mix(np.arange(count, dtype=np.uint64) + np.uint64(seed << 32))
    return (mixed % np.uint64(below)).astype(np.int64)


def _texts() -> pa.Array:
    """Texts of 0 to 600 characters, each of one or two alphabets, every fifth with broken bytes in it."""
    texts = []
    for n, length in enumerate(_numbers(700, 600, 1).tolist()):
        letters = ALPHABETS[n % len(ALPHABETS)] + ALPHABETS[n // len(ALPHABETS) % len(ALPHABETS)]
        text = b"".join(letters[i].encode() for i in _numbers(length, len(letters), 100 + n))
        if n % 5 == 0:
            middle = length // 2
            text = text[:middle] + BROKEN[n // 5 % len(BROKEN)] + text[middle:]
        texts.append(text)
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def _digest(*arrays: np.ndarray) -> str:
    hasher = xxhash.xxh3_128()
    for array in arrays:
        hasher.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


@pytest.mark.parametrize(
    "normalisation, split, expected",
    [
        ("datatrove", True, "e5717088bac01a833bccae6d0130d8d2"),
        ("datatrove", False, "82ca453695cf961a497116861b6bbdfb"),
        ("plain", True, "108bfa34e71d79684bd182967373e655"),
        ("plain", False, "e8d27c128a4f110f356e9bbd5bf1afae"),
    ],
)
def test_fold_fixed_texts_give_the_recorded_bytes(
    normalisation: fold_table.Normalisation, split: bool, expected: str
) -> None:
    folded = fold.fold(_texts(), fold_table.load(normalisation, split))
    assert _digest(folded.offsets, folded.data[: folded.offsets[-1]]) == expected


@pytest.mark.parametrize(
    "ngram, num_rows, seed, expected",
    [
        (5, 112, 1, "ea1cbfd860d6dc4789821fc322c9befe"),
        (1, 7, 3, "e0e80292bb9cc8f239825330076174c2"),
        (64, 33, 2, "ca32293312bac291212e7a3f2e61db1e"),
    ],
)
def test_signatures_of_fixed_texts_are_the_recorded_ones(ngram: int, num_rows: int, seed: int, expected: str) -> None:
    found = shingles.shingles(fold.fold(_texts(), fold_table.load("datatrove")), ngram)
    signatures = minhash.sign(found, *minhash.permutations(num_rows, seed))
    num_bands = 7 if num_rows % 7 == 0 else 1
    keys = minhash.band_keys(signatures, num_bands, num_rows // num_bands)
    assert _digest(found.offsets, found.hashes, signatures, keys) == expected


def test_groups_and_components_of_fixed_rows_are_the_recorded_ones() -> None:
    keys = (_numbers(5000, 700, 2).astype(np.uint64), _numbers(5000, 2, 3).astype(np.uint64))
    rank = (_numbers(5000, 3, 4).astype(np.float64), *(_numbers(5000, 9, s).astype(np.uint64) for s in (5, 6)))
    grouped = union_find.groups(keys, (*rank, np.arange(5000)))
    nodes = union_find.alone(5000)
    union_find.link(nodes, _numbers(3000, 5000, 7), _numbers(3000, 5000, 8))
    union_find.settle(nodes)
    assert _digest(grouped.order, grouped.starts, grouped.firsts, nodes) == "c733251b5c9fe4d0700326349d01f45d"


def test_packing_of_fixed_lengths_is_the_recorded_one() -> None:
    num_tokens_D = _numbers(400, 900, 9)
    cut = packing.cut(np.arange(400), num_tokens_D, 512, 64)
    offset_D = np.concatenate([[0], np.cumsum(num_tokens_D)])
    ids_T = _numbers(int(offset_D[-1]), 50_000, 10).astype(np.uint16)
    pool_P = np.zeros(int(cut.length_S.sum()), np.uint16)
    used = packing.copy_segments(ids_T, offset_D, cut.document_S, cut.offset_S, cut.length_S, 7, pool_P, 0)
    key_S = document_hash.mix(np.arange(len(cut.length_S), dtype=np.uint64))
    rows = packing.pack(pool_P, cut.length_S, cut.context_S, key_S, 512, 0)
    assert used == len(pool_P)
    assert _digest(*cut, pool_P, *rows) == "76e529c7219f5e277f897abf9817ece3"

"""MinHash signatures of shingled text.

Reads:  text
Writes: `signature`, fixed_size_list<uint32>[num_bands * rows_per_band + extra_rows]; null for documents of fewer than
        `ngram` words (or characters), which are kept and counted as `too_short`
Cost:   about 3 ns per byte of text with 112 rows; per batch about 2 bytes of memory per byte of text (characters: 5)
Source: Broder 1997; defaults as FineWeb's (datatrove 0.10.1, MinhashConfig). A signature equals, bit for bit,
        datasketch 2.0.0's `MinHash(number of rows, seed, scheme="affine32", hashfunc=hashing.shingle_hash)` over the
        document's shingles, `hashing` being stages/kernels/hashing.py

`extra_rows` are read by verification alone: the estimate of a similarity of 0.7 is off by 0.043 (a standard deviation)
with 112 rows, by 0.029 with 256 (`extra_rows: 144`).

`shingles: words` (default): a shingle is `ngram` words with one space between them. Words are what white space
separates after normalisation (`datatrove`: also punctuation); each Han, kana and Hangul letter is a word of its own,
since a Chinese page without spaces would otherwise be one word.

`shingles: characters`: a shingle is `ngram` characters of the normalised text; the hash is
`hashing.character_shingle_hash`. White space between two words (`datatrove`: also punctuation) is one character, a
space; none stands at the ends. Five characters, the default, suit Chinese; alphabetic text needs nine or more, as a
shingle must be unlikely to stand in a document by chance (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets",
3.2.2: five letters for mails, nine for long documents). Measured on the development texts: two unrelated pages have a
Jaccard similarity of 0.001 with five Chinese characters, 0.12 with five letters, 0.01 with nine.

datasketch reads the column (1 is `seed`, 14 and 8 are the bands and rows):

    documents = pyarrow.parquet.read_table(shard, columns=["id", "signature"]).to_pylist()
    lsh = datasketch.MinHashLSH(num_perm=14 * 8, params=(14, 8))
    for row in documents:
        if row["signature"]:
            lsh.insert(row["id"], datasketch.MinHash(hashvalues=row["signature"], seed=1, scheme="affine32"))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, Columns, NarrowContext, Verdict, narrow

MAX_NGRAM = 64
MAX_EXTRA_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Config:
    num_bands: int = 14  # with 8 rows the curve's midpoint is a Jaccard similarity of 0.72
    rows_per_band: int = 8
    extra_rows: int = 0  # behind those of the bands
    ngram: int = 5  # words or characters per shingle
    seed: int = 1  # of the permutations, 0 to 2**32 - 1
    normalisation: Literal["datatrove", "plain"] = "datatrove"  # stages/kernels/fold_table.py says what each does
    shingles: Literal["words", "characters"] = "words"

    def __post_init__(self) -> None:
        for name, most in (("num_bands", 1024), ("rows_per_band", 1024), ("ngram", MAX_NGRAM)):
            if not 1 <= getattr(self, name) <= most:
                raise FieldError(name, getattr(self, name), f"a whole number from 1 to {most}")
        if not 0 <= self.extra_rows <= MAX_EXTRA_ROWS:
            raise FieldError("extra_rows", self.extra_rows, f"a whole number from 0 to {MAX_EXTRA_ROWS}")
        if not 0 <= self.seed < 1 << 32:
            raise FieldError("seed", self.seed, "a whole number from 0 to 4294967295")


def _columns(cfg: Config) -> Columns:
    return {"signature": pa.list_(pa.uint32(), _num_rows(cfg))}


def _num_rows(cfg: Config) -> int:
    return cfg.num_bands * cfg.rows_per_band + cfg.extra_rows


@narrow(version=1, reads=("text",), adds=_columns)
def signatures(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Sign every document of a batch."""
    from stages.kernels import fold, fold_table, minhash, shingles

    by_words = cfg.shingles == "words"
    table = fold_table.load(cfg.normalisation, split_unspaced=by_words)
    shingles_of = shingles.shingles if by_words else shingles.character_shingles
    num_rows = _num_rows(cfg)
    factors, terms = minhash.permutations(num_rows, cfg.seed)

    def sign(batch: pa.RecordBatch) -> Verdict:
        found = shingles_of(fold.fold(batch["text"], table), cfg.ngram)
        signature_NK = minhash.sign(found, factors, terms)
        too_short_N = np.diff(found.offsets) == 0
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(signature_NK.reshape(-1)), num_rows, mask=pa.array(too_short_N)
        )
        return Verdict(columns={"signature": column}, counters={"too_short": int(too_short_N.sum())})

    return sign

"""What a character becomes when text is prepared for fastText: white space, a word of its own, its lower case.

Reads:  fasttext_text_table.npz beside this file; `python -m stages.kernels.fasttext_text_table` writes it again from
        the running pyarrow, whose regular expressions and lower case are the definition (the file says which version)
Writes: Tables: `index` uint16[8704], `blocks` uint32: an entry is `blocks[index[code >> 7] << 7 | code & 127]`
Cost:   1 ms to load; 80 KB
Source: RE2's classes and utf8proc's lower case as pyarrow has them. They are stored, so that a model classifies text
        the way it was trained, whichever pyarrow is there
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FILE = Path(__file__).with_name("fasttext_text_table.npz")
LABEL_PREFIX = "__label__"
NUM_CODE_POINTS = 0x110000
BLOCK_BITS = 7

# White space of all scripts and control characters: fastText ends a line at \n and a word at \0 and \v too.
SPACE_CLASS = r"[\s\pZ\x{0}-\x{1f}\x{7f}-\x{9f}]"
# Of the lower-case character. Han characters and kana apart: fastText splits at white space, and Chinese has none.
APART_CLASS = r"[\p{Han}\p{Hiragana}\p{Katakana}\pP\pS]"

# An entry: the flags, and above them the code point in lower case, 0 where that is the character itself.
SPACE, APART = 1, 2
LOWER_SHIFT = 2


class Tables(NamedTuple):
    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    blocks: np.ndarray


def load() -> Tables:
    with np.load(FILE) as stored:
        return Tables(stored["index"], stored["blocks"])


def entries() -> np.ndarray:
    """uint32[0x110000] as the running pyarrow has it; surrogates are nothing special, no text holds them."""
    codes = np.setdiff1d(np.arange(NUM_CODE_POINTS, dtype=np.uint32), np.arange(0xD800, 0xE000))
    chars = pa.array([chr(code) for code in codes], pa.large_string())
    lower = pc.utf8_lower(chars)
    lower_codes = np.frombuffer("".join(lower.to_pylist()).encode("utf-32-le"), np.uint32)
    table = np.zeros(NUM_CODE_POINTS, np.uint32)
    table[codes] = np.where(lower_codes == codes, 0, lower_codes) << LOWER_SHIFT
    table[codes] |= SPACE * np.array(pc.match_substring_regex(chars, SPACE_CLASS), np.uint32)
    table[codes] |= APART * np.array(pc.match_substring_regex(lower, APART_CLASS), np.uint32)
    return table


def write() -> None:
    blocks, index = np.unique(entries().reshape(-1, 1 << BLOCK_BITS), axis=0, return_inverse=True)
    ascii_block = int(index[0])  # comes first, so that a kernel looks ASCII up without the index
    order = np.r_[ascii_block, np.delete(np.arange(len(blocks)), ascii_block)]
    np.savez_compressed(
        FILE, index=np.argsort(order)[index].astype(np.uint16), blocks=blocks[order].reshape(-1),
        pyarrow_version=np.array(pa.__version__),
    )  # fmt: skip


if __name__ == "__main__":
    write()

r"""Texts in Unicode's composed form (NFC), without control and zero-width characters, with `\n` as the line break.

Reads:  text
Writes: text; one to which nothing applies is not touched, byte for byte
Cost:   about 4 ns per byte; a text that is not NFC passes through Python's `unicodedata`
Source: UAX 15 (NFC); the rules of stages/kernels/normalise.py and mojibake.py; ftfy repairs more kinds of mojibake

NFC is that of Unicode 14.0.0 under every Python from 3.11 on: characters that 14.0 does not know are left as they are,
and Unicode promises that the form of the others never changes.

Removed: control characters but tab and line feed; zero-width space and no-break space (byte order mark), word joiner,
soft hyphen; zero-width joiners where they shape nothing. Line breaks of every kind (CR LF, CR, VT, FF, FS to RS, NEL,
U+2028, U+2029) become `\n`. Mojibake (UTF-8 read as windows-1252) is always counted, and left whole where it is not
repaired.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stage import BatchFunction, Measure, NarrowContext, Verdict, narrow

MAX_ROUNDS = 4  # more are needed only for texts made to need them: mojibake inside mojibake of zero-width characters
MAX_MARKS = 30  # in a row, before they are sorted here: unicodedata takes quadratic time on long runs


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is an option. Bidi controls only order the display of mixed text; models read the logical order."""

    plain_spaces: bool = True  # no-break, thin, ideographic and other spaces become U+0020
    remove_bidi_controls: bool = False
    fix_mojibake: bool = False  # and C1 controls become what windows-1252 has there


@narrow(version=1, reads=("text",), adds={"text": pa.large_string()})
def normalise_unicode(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Normalise every text of a batch; a null stays null."""
    from stages.kernels import normalise as kernels
    from stages.kernels import utf8

    rules = kernels.Rules(bidi_controls=cfg.remove_bidi_controls, spaces=cfg.plain_spaces, mojibake=cfg.fix_mojibake)

    def one_round(text: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray]:
        """(the texts, which of them changed, counts by kind, characters before)."""
        result = kernels.normalise(utf8.view(text), rules)
        changed_N = result.counts[:, : kernels.NUM_CHANGING].any(axis=1)
        if result.text is not None:
            text = utf8.array(result.text)
        text, composed_N = _compose(text, result.counts[:, kernels.NOT_NFC] > 0)
        result.counts[:, kernels.NOT_NFC] = composed_N
        return text, changed_N | composed_N, result.counts, result.chars_N

    def normalise(batch: pa.RecordBatch) -> Verdict:
        text, changed_N, counts, chars_N = one_round(batch["text"].cast(pa.large_string()))
        totals = counts.sum(axis=0)
        again_N = changed_N
        for _ in range(MAX_ROUNDS - 1):
            if not again_N.any():
                break
            part, part_changed_N, part_counts, _ = one_round(text.filter(pa.array(again_N)))
            totals[: kernels.NUM_CHANGING] += part_counts[:, : kernels.NUM_CHANGING].sum(axis=0)
            if part_changed_N.any():
                text = pc.replace_with_mask(text, pa.array(again_N), part)
            again_N = _scatter(again_N, part_changed_N)
        share_N = np.divide(counts[:, kernels.MOJIBAKE], chars_N, out=np.full(len(chars_N), np.nan), where=chars_N > 0)
        return Verdict(
            columns={"text": text},
            measures={"mojibake_share": Measure(value_N=share_N, low=0, high=0.1)},
            counters={
                "texts_changed": int(changed_N.sum()),
                **{kind: int(count) for kind, count in zip(kernels.KINDS, totals, strict=True)},
            },
        )

    return normalise


def _scatter(mask_N: np.ndarray, values_M: np.ndarray) -> np.ndarray:
    """bool[N]: `values_M` where the mask is true, false elsewhere."""
    scattered_N = np.zeros(len(mask_N), np.bool_)
    scattered_N[mask_N] = values_M
    return scattered_N


def _compose(text: pa.Array, todo_N: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """(the texts, those of `todo_N` in NFC; which of them that changed)."""
    if not todo_N.any():
        return text, todo_N
    before = [value.as_buffer().to_pybytes() for value in text.filter(pa.array(todo_N)).cast(pa.large_binary())]
    # what is no UTF-8 passes through as it is
    after = [to_nfc(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape") for raw in before]
    changed_M = np.array([a != b for a, b in zip(before, after, strict=True)])
    if changed_M.any():
        composed = pa.array(after, pa.large_binary())
        text = pc.replace_with_mask(text.cast(pa.large_binary()), pa.array(todo_N), composed)
        text = pa.LargeStringArray.from_buffers(len(text), *text.buffers()[1:], text.buffers()[0], -1, text.offset)
    return text, _scatter(todo_N, changed_M)


def to_nfc(text: str) -> str:
    """NFC as Unicode 14.0.0 has it, in linear time."""
    from stages.kernels import character_properties as properties

    table = properties.load()
    code_T = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    block_T = table.index[code_T >> properties.BLOCK_BITS].astype(np.int64)
    bits_T = table.blocks[block_T << properties.BLOCK_BITS | code_T & (1 << properties.BLOCK_BITS) - 1]
    class_T = bits_T & properties.COMBINING_CLASS
    starts_T = np.flatnonzero(class_T == 0)
    if np.diff(np.concatenate([[-1], starts_T, [len(code_T)]])).max() > MAX_MARKS:
        order_T = np.lexsort((class_T, np.cumsum(class_T == 0)))  # stable: marks in canonical order, canonically equal
        code_T, bits_T = code_T[order_T], bits_T[order_T]
        text = code_T.tobytes().decode("utf-32-le", "surrogatepass")
    unknown_T = np.flatnonzero(bits_T & properties.UNASSIGNED)
    pieces, start = [], 0
    for at in unknown_T.tolist():
        pieces += [unicodedata.normalize("NFC", text[start:at]), text[at]]
        start = at + 1
    pieces.append(unicodedata.normalize("NFC", text[start:]))
    return "".join(pieces)

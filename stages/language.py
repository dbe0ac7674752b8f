"""Which language a document is in, and how much of it.

Reads:  `text`
Writes: `language`, string: an ISO 639 code as below; `language_score`, float64 from 0 to 1
Cost:   0.2 ms a document with the default, 0.1 ms with lid.176.ftz; the model's size in memory (lid.176.bin: 130 MB)
Source: CLD2 (Sites 2013, https://github.com/CLD2Owners/cld2) through pycld2, or a fastText model (Joulin et al. 2016);
        min_score 0.65 is FineWeb's (datatrove's LanguageFilter). Why CLD2 is the default: docs/log.md

Codes are those of lid.176, two letters wherever ISO 639-1 has some: Chinese in any script is `zh`, Norwegian `no`
(Nynorsk `nn`), Hebrew `he`; a document with nothing to go by is `und`. A fastText model's other labels stay.
The score is, with fastText, the probability of the label; with CLD2 the share of the text, 0 to 1 by hundredths, that
is in the language, halved where CLD2 calls its answer unreliable. On 37,089 single sentences that share is close to a
frequency: 51% of those with 0.5 to 0.6 are right, 78% with 0.6 to 0.7, 95% with 0.7 and more.

A document in a language not in `keep` is dropped as `language_de_not_kept`; its value is the score.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import location
from pipeline.errors import FieldError, close_match
from pipeline.stage import BatchFunction, Drops, Measure, NarrowContext, Verdict, narrow
from stages.classifiers import fasttext_model
from stages.classifiers.fasttext_text import LABEL_PREFIX, prepare
from stages.classifiers.model_file import local_file

UNKNOWN = "und"
TOO_LOW = "language_score_too_low"
NOT_KEPT = "language_not_kept"  # of a label that is no code, whatever a model calls it; see _reason
CODE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,8})?")

# CLD2's and fastText models' codes that have another name here; a script after `-` or `_` is cut off Chinese alone.
SAME_LANGUAGE = {"iw": "he", "jw": "jv", "un": UNKNOWN, "nb": "no", "zho": "zh", "cmn": "zh"}
# Not in text: C0 and C1 controls, noncharacters. CLD2 refuses them. White space stays.
NOT_FOR_INTERCHANGE = dict.fromkeys(
    [*(c for c in (*range(0x20), *range(0x7F, 0xA0)) if c not in b"\t\n\r"), *range(0xFDD0, 0xFDF0)]
    + [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)],
    " ",
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which languages stay, and which model says so."""

    keep: tuple[str, ...] = ()  # codes; empty: all
    min_score: float = 0.65
    model: str = location("")  # a fastText .bin or .ftz by path or address; empty: CLD2
    sha256: str = ""  # of the model; checked where given
    max_chars: int = 2_000  # of the text that are looked at; beyond 2,000 no measurement got better

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise FieldError("min_score", self.min_score, "a number from 0 to 1")
        if self.max_chars < 1:
            raise FieldError("max_chars", self.max_chars, "a whole number of at least 1")
        if self.sha256 and not self.model:
            raise FieldError("sha256", self.sha256, "nothing where no model is named")
        known = frozenset() if self.model else cld2_codes()
        for code in self.keep:
            if not code or _code(code) != code or (known and code not in known):
                mend = f"Write {_code(code)!r}." if _code(code) in known - {code} else close_match(code, known)
                raise FieldError("keep", code, "language codes such as en, zh, de", mend)


@narrow(
    version=2,
    reads=("text",),
    adds={"language": pa.string(), "language_score": pa.float64()},
    files=lambda cfg: [cfg.model] if cfg.model else [],
    measures=("language_score",),
)
def language(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Name every document's language, and drop those not kept; StoreError or DataError where the model is unusable."""
    identify = _fasttext(cfg) if cfg.model else _cld2(cfg.max_chars)

    def judge(batch: pa.RecordBatch) -> Verdict:
        codes, score_N = identify(batch["text"])
        language_N = pa.array(codes, pa.string())
        return Verdict(
            columns={"language": language_N, "language_score": pa.array(score_N)},
            drops=_drops(cfg, codes, score_N),
            measures={"language_score": Measure(value_N=score_N, low=0, high=1, drop_below=cfg.min_score)},
            tallies={"language": language_N},
        )

    return judge


def _drops(cfg: Config, codes: list[str], score_N: np.ndarray) -> Drops:
    """A language that is not kept goes by a reason of its own, so that the ledger tells which it was."""
    strange = sorted(set(codes) - set(cfg.keep)) if cfg.keep else []
    reasons = list(dict.fromkeys([TOO_LOW, *map(_reason, strange)]))
    place = {code: reasons.index(_reason(code)) for code in strange}
    not_kept_N = np.array([place.get(code, -1) for code in codes], np.int16)
    code_N = np.where((not_kept_N < 0) & (score_N < cfg.min_score), 0, not_kept_N).astype(np.int16)
    threshold_N = np.where(code_N == 0, cfg.min_score, np.nan)
    return Drops(reasons=tuple(reasons), code_N=code_N, value_N=score_N, threshold_N=threshold_N)


def _reason(code: str) -> str:
    return f"language_{code}_not_kept" if CODE.fullmatch(code) else NOT_KEPT


Identify = Callable[[pa.Array], tuple[list[str], np.ndarray]]  # N texts -> N codes, float64[N] scores


def _cld2(max_chars: int) -> Identify:
    import pycld2

    def identify(text: pa.Array) -> tuple[list[str], np.ndarray]:
        heads = pc.utf8_slice_codeunits(text.fill_null(""), 0, max_chars).cast(pa.large_binary()).to_pylist()
        codes, score_N = [], np.zeros(len(heads))
        for i, head in enumerate(heads):
            try:
                is_reliable, _, found = pycld2.detect(head, isPlainText=True, bestEffort=True)
            except pycld2.error:  # a control character or a noncharacter
                head = head.decode("utf-8").translate(NOT_FOR_INTERCHANGE).encode("utf-8")
                is_reliable, _, found = pycld2.detect(head, isPlainText=True, bestEffort=True)
            _, label, percent, _ = found[0]
            codes.append(_code(label))
            score_N[i] = percent / 100 if is_reliable else percent / 200
        return codes, score_N

    return identify


def _fasttext(cfg: Config) -> Identify:
    model = fasttext_model.load(local_file(cfg.model, cfg.sha256))

    def identify(text: pa.Array) -> tuple[list[str], np.ndarray]:
        labels, score_N = fasttext_model.best(model, prepare(text, "plain", cfg.max_chars))
        return [_code(label.removeprefix(LABEL_PREFIX)) if label else UNKNOWN for label in labels], score_N

    return identify


def _code(label: str) -> str:
    """A model's label as this module's code."""
    name = label.replace("_", "-").partition("-")[0]
    return "zh" if name in ("zh", "zho", "cmn") else SAME_LANGUAGE.get(label, label)


def cld2_codes() -> frozenset[str]:
    """The codes the default model can give."""
    import pycld2

    code_of = dict(pycld2.LANGUAGES)
    return frozenset(_code(code_of[name]) for name in pycld2.DETECTED_LANGUAGES) | {UNKNOWN}

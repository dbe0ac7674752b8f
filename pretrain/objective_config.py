"""What a model is trained to predict, and the numbers that decide it.

Reads:  `objective:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: masked: Devlin et al. 2019 (BERT; 15%, of which 80% a mask, 10% a random token, 10% as it was); spans: Raffel et
        al. 2020 (T5; 15%, mean length 3); ul2: Tay et al. 2022 (UL2), table 1, which is UL2_DENOISERS; fim: Bavarian et
        al. 2022 (half of the documents, prefix-suffix-middle and suffix-prefix-middle alike)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.errors import FieldError
from pretrain.ranges import at_least_zero, share
from pretrain.shape import Architecture

Kind = Literal["causal", "masked", "prefix", "spans", "ul2", "fim"]

ARCHITECTURES: dict[Kind, tuple[Architecture, ...]] = {
    "causal": ("decoder",),
    "masked": ("encoder",),
    "prefix": ("decoder", "encoder_decoder"),
    "spans": ("decoder", "encoder_decoder"),
    "ul2": ("decoder", "encoder_decoder"),
    "fim": ("decoder",),
}
MODES = ("R", "S", "X")
FIM_TOKENS = 3  # before the prefix, the suffix and the middle
PAIR_TOKENS = 2  # before the first and before the second part of a pair
TOKENS_PER_SEGMENT = 64  # a row has room for what is inserted into length / 64 segments, and into four at least
TOKENS_BESIDE_SPANS = 4  # of a segment that loses spans: its mode, its end, and what rounding adds


class Denoiser(NamedTuple):
    """Spans of `mean_span` tokens in the mean are taken out of a text until `density` of it is gone."""

    mode: Literal["R", "X"]
    mean_span: float
    density: float


# Tay et al. 2022, table 1; S, the seventh, takes one span off the end, a quarter of the text in the mean
UL2_DENOISERS = (
    Denoiser("R", 3, 0.15), Denoiser("R", 8, 0.15),
    Denoiser("X", 3, 0.5), Denoiser("X", 8, 0.5), Denoiser("X", 64, 0.15), Denoiser("X", 64, 0.5),
)  # fmt: skip


class Widths(NamedTuple):
    """Positions in a row of an example, and in the decoder's row where there is one."""

    ids: int
    decoder: int | None


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Causal language modelling, unless another kind is named. Fields of other kinds than the named one do nothing."""

    kind: Kind = "causal"
    """causal, prefix, spans, ul2 and fim go with a decoder, masked with an encoder, prefix, spans and ul2 also with an
    encoder-decoder."""
    mask_rate: float = 0.15
    """masked: the share of tokens (with whole_words: of words) that are to be predicted."""
    mask_token_share: float = 0.8
    """masked: of those, the share shown as a mask."""
    random_token_share: float = 0.1
    """masked: of those, the share shown as a random token; the rest is shown as it is."""
    whole_words: bool = False
    """masked: all tokens of a word or none."""
    next_sentence: bool = False
    """masked: also cut segments in two and tell those whose second half was exchanged for another segment's."""
    density: float = 0.15
    """spans: the share of tokens taken out."""
    mean_span: float = 3.0
    """spans: tokens per span taken out, in the mean."""
    r_weight: float = 2.0
    s_weight: float = 1.0
    x_weight: float = 4.0
    """ul2: how often a segment is denoised each way; 2, 1 and 4 make each of the paper's seven as frequent."""
    fim_rate: float = 0.5
    """fim: the share of segments that are rearranged; the others are predicted left to right."""
    spm_share: float = 0.5
    """fim: of the rearranged ones, the share in the order suffix, prefix, middle."""

    def __post_init__(self) -> None:
        share(self, "mask_rate", "mask_token_share", "random_token_share", "density", "fim_rate", "spm_share")
        at_least_zero(self, "r_weight", "s_weight", "x_weight")
        if self.mask_token_share + self.random_token_share > 1:
            raise FieldError(
                "random_token_share", self.random_token_share, f"at most 1 - mask_token_share {self.mask_token_share}"
            )
        for name in ("mask_rate", "density"):
            if getattr(self, name) == 0:
                raise FieldError(name, 0.0, "more than 0", "With 0, nothing would be predicted.")
        if not 1 <= self.mean_span < math.inf:
            raise FieldError("mean_span", self.mean_span, "1 token or more")
        if self.r_weight + self.s_weight + self.x_weight == 0:
            raise FieldError("r_weight", self.r_weight, "a weight above 0 for r, s or x")


def check_architecture(cfg: ObjectiveConfig, architecture: Architecture) -> None:
    """FieldError (of the field `objective`) where a model of this architecture cannot be trained so."""
    fitting = ARCHITECTURES[cfg.kind]
    if architecture not in fitting:
        kinds = [kind for kind, with_these in ARCHITECTURES.items() if architecture in with_these]
        raise FieldError(
            "objective", f"kind: {cfg.kind} with model.architecture: {architecture}",
            f"model.architecture: {' or '.join(fitting)} for this objective",
            f"Or take an objective.kind that this architecture is trained with: {', '.join(kinds)}.",
        )  # fmt: skip


def denoisers(cfg: ObjectiveConfig) -> tuple[Denoiser, ...]:
    """What takes spans out, as far as the config uses it."""
    if cfg.kind == "spans":
        return (Denoiser("R", cfg.mean_span, cfg.density),)
    weights = {"R": cfg.r_weight, "X": cfg.x_weight}
    return tuple(d for d in UL2_DENOISERS if weights[d.mode] > 0) if cfg.kind == "ul2" else ()


def num_sentinels(cfg: ObjectiveConfig, length: int) -> int:
    """How many spans a segment of `length` tokens can lose, each with a sentinel of its own in its place."""
    return max((max(1, round(round(length * d.density) / d.mean_span)) for d in denoisers(cfg)), default=0)


def widths(cfg: ObjectiveConfig, length: int, architecture: Architecture) -> Widths:
    """Of examples made of rows of `length` tokens: room for what an objective inserts, the same for all rows of a run.

    A segment that finds no room (in a row of very many short ones) is left as it is: predicted left to right by fim,
    whole and without a partner in pairs, without targets where spans would be taken out.
    """
    num_segments = max(4, length // TOKENS_PER_SEGMENT)
    beside = num_segments * TOKENS_BESIDE_SPANS
    if cfg.kind == "fim" or (cfg.kind == "masked" and cfg.next_sentence):
        inserted = FIM_TOKENS if cfg.kind == "fim" else PAIR_TOKENS
        return Widths(length + inserted * num_segments, None)
    if cfg.kind in ("causal", "masked") or (cfg.kind == "prefix" and architecture == "decoder"):
        return Widths(length, None)
    if cfg.kind == "prefix":
        return Widths(length + 1, length)
    taken_out = [(length * d.density, length * d.density / d.mean_span) for d in denoisers(cfg)]
    if architecture == "decoder":
        return Widths(_eights(length + beside + max((2 * spans for _, spans in taken_out), default=0)), None)
    suffix = length / 2 if cfg.kind == "ul2" and cfg.s_weight else 0
    longest = max((noise + spans for noise, spans in taken_out), default=0)
    # one position of padding at least on the encoder's side: the decoder's padding attends to it
    return Widths(_eights(length + num_segments + 1), _eights(max(longest, suffix) + beside))


def _eights(size: float) -> int:
    return math.ceil(size / 8) * 8

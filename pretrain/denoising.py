"""Denoising: a text with something taken out goes in, what was taken out is to be said.

Reads:  the segments of a batch
Writes: examples of a decoder (what goes in is a prefix all of its segment may attend to) or of an encoder-decoder
Cost:   see pretrain/layout.py; a sort of the batch's tokens for the spans
Source: prefix and spans: Raffel et al. 2020, sections 3.2.3 and 3.1.4; ul2: Tay et al. 2022, section 3.1

    prefix: the text up to a place drawn evenly -> the rest of it
    spans:  `text s0 text s1 text` -> `s0 span s1 span eot`, where s0, s1, ... are sentinels, from s0 on in each segment
    ul2:    each segment by a denoiser drawn by weight: R and X take spans out, S the end, from half of it to one token.
            A mode token before the segment says which

Only tokens at or after a segment's loss start are taken out: an overlapped prefix goes in as it is, and so does the
end-of-text token where spans are taken out. Where a share of the text is meant, it is a share of these tokens. As in
T5, so many tokens in so many spans are taken out, each way of doing that being as likely as another; T5's spans always
end the text, here they need not. Targets are what was taken out, its sentinels, and the `eot` that ends it; what goes
in is never one. A segment of too few tokens for that is left as it is and has no targets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pretrain import draws
from pretrain.example import Example, predicting_next
from pretrain.layout import Pieces, Segments, inserted, joined, kept, lay_out, run
from pretrain.objective_config import MODES, Denoiser, ObjectiveConfig, Widths, denoisers
from pretrain.shape import Architecture
from pretrain.special_ids import SpecialIds

DENOISER, SUFFIX, TEXT_PARTS, SPAN_PARTS = range(10, 14)  # purposes of draws
BEFORE_TEXT, AFTER_TEXT, TARGETS, AFTER_TARGETS = -2, 1 << 20, 1 << 21, 1 << 22  # places of pieces in their segment


def prefix_example(segments: Segments, widths: Widths, architecture: Architecture, special: SpecialIds) -> Example:
    num_places_S = np.maximum(segments.end_S - segments.first_loss_S, 1)
    cut_S = segments.first_loss_S + draws.whole_below(num_places_S, segments.uniform(SUFFIX))
    every = np.arange(len(cut_S))
    return _laid_out(segments, _cut_in_two(segments, every, cut_S), widths, architecture, special)


def spans_example(
    cfg: ObjectiveConfig, segments: Segments, widths: Widths, architecture: Architecture, special: SpecialIds
) -> Example:
    """Of `spans`, and of `ul2`, where a mode goes before and some segments lose their end instead."""
    with_modes = bool(special.modes)
    kinds = denoisers(cfg)
    which_S = _denoiser_of(cfg, segments, kinds)
    is_suffix_S = which_S == len(kinds)
    length_S = segments.num_body_S
    noise_S, spans_S = _num_spans(length_S, which_S, kinds)
    suffix_S = 1 + draws.whole_below(np.maximum(length_S // 2, 1), segments.uniform(SUFFIX))
    end_S = segments.ends_document_S.astype(np.int64)
    if architecture == "decoder":
        cost_S = with_modes + np.where(is_suffix_S, 0, 2 * spans_S + 1)
        budgets = [(cost_S, widths.ids - segments.num_tokens_B)]
    else:
        assert widths.decoder is not None
        taken_S = np.where(is_suffix_S, suffix_S + end_S, noise_S + spans_S + 1)
        cost_S = with_modes + np.where(is_suffix_S, -suffix_S - end_S, spans_S - noise_S)
        decoder_room_B = np.full(len(segments.num_tokens_B), widths.decoder)
        budgets = [(cost_S, widths.ids - 1 - segments.num_tokens_B), (1 + taken_S, decoder_room_B)]
    fits_S = segments.accepted(length_S >= 2, *budgets)
    suffix, spans, left = (
        np.flatnonzero(found) for found in (fits_S & is_suffix_S, fits_S & ~is_suffix_S, ~fits_S)
    )  # fmt: skip
    parts = [
        *_cut_in_two(segments, suffix, segments.last_body_S[suffix] - suffix_S[suffix]),
        *_spans_out(segments, spans, noise_S[spans], spans_S[spans], special),
        run(left, 0, segments.begin_S[left], segments.end_S[left], False),
    ]
    if with_modes:
        mode_of = np.array([MODES.index(d.mode) for d in kinds] + [MODES.index("S")])
        changed = np.flatnonzero(fits_S)
        parts.append(inserted(changed, BEFORE_TEXT, np.array(special.modes)[mode_of[which_S[changed]]], False))
    return _laid_out(segments, parts, widths, architecture, special)


def _denoiser_of(cfg: ObjectiveConfig, segments: Segments, kinds: Sequence[Denoiser]) -> np.ndarray:
    """The number of each segment's denoiser; the one behind the last is S."""
    if cfg.kind == "spans":
        return np.zeros(len(segments.row_S), np.int64)
    weight_of = {"R": cfg.r_weight, "X": cfg.x_weight}
    num_of = {mode: sum(d.mode == mode for d in kinds) for mode in weight_of}
    weights = np.array([weight_of[d.mode] / num_of[d.mode] for d in kinds] + [cfg.s_weight])
    bounds = np.cumsum(weights) / weights.sum()
    return np.searchsorted(bounds[:-1], segments.uniform(DENOISER), side="right")


def _num_spans(length_S: np.ndarray, which_S: np.ndarray, kinds: Sequence[Denoiser]) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens to take out of each segment, and in how many spans; at least one token is left."""
    density = np.array([d.density for d in kinds] + [0.5])[which_S]
    mean_span = np.array([d.mean_span for d in kinds] + [1.0])[which_S]
    noise_S = np.clip(np.rint(length_S * density).astype(np.int64), 1, np.maximum(length_S - 1, 1))
    spans_S = np.maximum(np.rint(noise_S / mean_span).astype(np.int64), 1)
    return noise_S, np.minimum(spans_S, np.maximum(length_S - noise_S + 1, 1))


def _cut_in_two(segments: Segments, number: np.ndarray, cut: np.ndarray) -> list[Pieces]:
    return [
        run(number, 0, segments.begin_S[number], cut, False),
        run(number, TARGETS, cut, segments.end_S[number], True),
    ]


def _spans_out(
    segments: Segments, number: np.ndarray, noise: np.ndarray, spans: np.ndarray, special: SpecialIds
) -> list[Pieces]:
    """Text and spans alternate, from text to text; the first and the last text may be empty."""
    text = segments.num_body_S[number] - noise
    key = segments.key_S[number]
    text_parts = composition(text + 2, spans + 1, key, TEXT_PARTS)
    span_parts = composition(noise, spans, key, SPAN_PARTS)
    is_first = _starts(spans + 1)
    text_parts[is_first] -= 1
    text_parts[is_first + spans] -= 1
    of_text, of_span = np.repeat(number, spans + 1), np.repeat(number, spans)
    index = np.arange(len(of_span)) - np.repeat(_starts(spans), spans)  # of a span in its segment
    is_before_span = np.ones(len(of_text), np.bool_)
    is_before_span[is_first + spans] = False
    # ends of texts and spans in turn, counted from the segment's first token to train on
    done_text = np.cumsum(text_parts) - np.repeat((np.cumsum(text) - text), spans + 1)
    done_span = np.cumsum(span_parts) - np.repeat((np.cumsum(noise) - noise), spans)
    span_end = segments.first_loss_S[of_span] + done_text[is_before_span] + done_span
    text_begin = np.empty(len(of_text), np.int64)
    text_begin[is_first] = segments.first_loss_S[number]
    text_begin[~_marked(is_first, len(of_text))] = span_end
    text_index = np.arange(len(of_text)) - np.repeat(is_first, spans + 1)
    sentinel = np.array(special.sentinels, np.int64)[index]
    return [
        run(number, -1, segments.begin_S[number], segments.first_loss_S[number], False),
        run(of_text, 2 * text_index, text_begin, text_begin + text_parts, False),
        inserted(of_span, 2 * index + 1, sentinel, False),
        run(number, AFTER_TEXT, segments.last_body_S[number], segments.end_S[number], False),
        inserted(of_span, TARGETS + 2 * index, sentinel, True),
        run(of_span, TARGETS + 2 * index + 1, span_end - span_parts, span_end, True),
        inserted(number, AFTER_TARGETS, special.eot, True),
    ]


def composition(total_S: np.ndarray, parts_S: np.ndarray, key_S: np.ndarray, purpose: int) -> np.ndarray:
    """Sizes, at least 1, of `parts` parts of each total; the parts of all totals in a row, every way as likely.

    A part ends at `parts - 1` of the places between the items, those of the smallest draws, and at the last item.
    """
    of = np.repeat(np.arange(len(total_S)), total_S)
    first_S = _starts(total_S)
    item = np.arange(len(of)) - first_S[of]
    draw = draws.uniform(key_S[of], item, purpose)
    draw[first_S + total_S - 1] = 1.0
    rank = np.empty(len(of), np.int64)
    rank[np.argsort(of + draw, kind="stable")] = item  # the order within each total, for totals are in order already
    ends = np.flatnonzero((rank < (parts_S - 1)[of]) | (draw == 1.0))
    return np.diff(ends, prepend=-1)


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes


def _marked(places: np.ndarray, size: int) -> np.ndarray:
    found = np.zeros(size, np.bool_)
    found[places] = True
    return found


def _laid_out(
    segments: Segments, parts: Sequence[Pieces], widths: Widths, architecture: Architecture, special: SpecialIds
) -> Example:
    pieces = joined(parts)
    if architecture == "decoder":
        rows = lay_out(segments, pieces, widths.ids, special.pad)
        is_padding_BT = rows.segment_BT == np.bincount(segments.row_S, minlength=len(rows.ids_BT))[:, None]
        return Example(
            ids_BT=torch.from_numpy(rows.ids_BT), segment_BT=torch.from_numpy(rows.segment_BT),
            position_BT=torch.from_numpy(rows.position_BT), target_BT=predicting_next(rows),
            prefix_BT=torch.from_numpy(~rows.is_target_BT & ~is_padding_BT),
        )  # fmt: skip
    assert widths.decoder is not None
    encoder = lay_out(segments, kept(pieces, ~pieces.is_target_P), widths.ids, special.pad)
    answers = kept(pieces, pieces.is_target_P & (pieces.length_P > 0))
    start = inserted(np.unique(answers.segment_P), 0, special.eot, False)
    decoder = lay_out(segments, joined([start, answers]), widths.decoder, special.pad)
    return Example(
        ids_BT=torch.from_numpy(encoder.ids_BT), segment_BT=torch.from_numpy(encoder.segment_BT),
        position_BT=torch.from_numpy(encoder.position_BT), target_BT=predicting_next(decoder),
        decoder_ids_BS=torch.from_numpy(decoder.ids_BT), decoder_segment_BS=torch.from_numpy(decoder.segment_BT),
        decoder_position_BS=torch.from_numpy(decoder.position_BT),
    )  # fmt: skip

"""Beam search: the likeliest continuations, of those that begin with what was among the likeliest at each length.

Reads:  the logits of a window's rows, one row per beam
Writes: token ids and scores
Cost:   one pass of the model over `num_beams` rows per token
Source: Graves 2012; the score divides by a power of the length, as in transformers, whose `early_stopping="never"`
        this is: the search ends where no beam can still come to a better score than the worst of those kept

Shapes: B beams, V vocabulary, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pretrain.window import Window


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A continuation without its end-of-text token, and the sum of its tokens' log probabilities over a power of how
    many these are; the end-of-text token counts in both."""

    ids: tuple[int, ...]
    score: float


def search(
    window: Window, eot_id: int, max_new_tokens: int, num_beams: int, length_penalty: float = 1.0
) -> list[Hypothesis]:
    """At most `num_beams` continuations, the best first. Each ends before `eot_id` or has `max_new_tokens`.

    `length_penalty` is the power: 0 compares sums, 1 means per token; above 1 favours the longer.
    """
    num_prompt = window.ids_BT.shape[1]
    sum_B = torch.zeros(1, dtype=torch.float64)
    finished: list[Hypothesis] = []
    for length in range(1, max_new_tokens + 1):
        log_probability_BV = window.next_logits().log_softmax(-1).double().cpu()
        sum_BV = sum_B[:, None] + log_probability_BV
        vocab_size = sum_BV.shape[1]
        # every beam can end in one way: of twice as many candidates at least num_beams go on
        sum_K, place_K = sum_BV.flatten().topk(min(2 * num_beams, sum_BV.numel()))
        beam_K, id_K = place_K // vocab_size, place_K % vocab_size
        ends_K = (id_K == eot_id) | (length == max_new_tokens)
        for k in ends_K[:num_beams].nonzero().flatten().tolist():
            ids = [*window.ids_BT[beam_K[k], num_prompt:].tolist(), int(id_K[k])]
            score = float(sum_K[k]) / length**length_penalty
            finished.append(Hypothesis(ids=tuple(i for i in ids if i != eot_id), score=score))
        finished = sorted(finished, key=lambda one: -one.score)[:num_beams]
        going_on_B = (~ends_K).nonzero().flatten()[:num_beams]
        sum_B = sum_K[going_on_B]
        best_length = max_new_tokens if length_penalty > 0 else length
        if not len(sum_B) or (
            len(finished) == num_beams and float(sum_B[0]) / best_length**length_penalty <= finished[-1].score
        ):
            break
        window.take_rows(beam_K[going_on_B].to(window.ids_BT.device))
        window.append(id_K[going_on_B].to(window.ids_BT.device))
    return finished

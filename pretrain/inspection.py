"""Examples as text, for a person to look at.

Reads:  an example, a function from token ids to text
Writes: nothing
Cost:   decodes every token it shows
Source: -
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pretrain.example import IGNORED, Example

GAP = " … "  # between targets that are not neighbours


def describe(example: Example, decode: Callable[[Sequence[int]], str]) -> list[dict[str, str]]:
    """For every segment that has targets: what goes in, and what is to be said.

    Where a prefix goes in, that alone is `input`; else it is all of the segment, with what hides in it.
    """
    target_BT = example.target_BT.numpy()
    has_decoder = example.decoder_segment_BS is not None
    answering_BT = (
        example.decoder_segment_BS if example.decoder_segment_BS is not None else example.segment_BT
    ).numpy()
    found = []
    for row, (ids_T, segment_T) in enumerate(zip(example.ids_BT.numpy(), example.segment_BT.numpy(), strict=True)):
        is_target_T = target_BT[row] != IGNORED
        for number in np.unique(answering_BT[row][is_target_T]):
            is_input_T = segment_T == number
            if example.prefix_BT is not None and not has_decoder:
                is_input_T &= example.prefix_BT.numpy()[row]
            places = np.flatnonzero(is_target_T & (answering_BT[row] == number))
            runs = np.split(target_BT[row][places], np.flatnonzero(np.diff(places) > 1) + 1)
            answer = GAP.join(decode(run.tolist()) for run in runs)
            found.append({"input": decode(ids_T[is_input_T].tolist()), "target": answer})
    return found

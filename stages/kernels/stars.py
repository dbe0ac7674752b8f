"""The least neighbour of every document, over links that come batch by batch.

Reads:  links of documents, by place in their group
Writes: into an int64 array
Cost:   3 ns per link
Source: Kiveris et al. 2014 (stages/dedup/components.py)
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel


@kernel
def lower(least_D: np.ndarray, place_E: np.ndarray, neighbour_E: np.ndarray) -> None:
    """Take each neighbour for the least one of its document where it is less than the least so far."""
    for e in range(len(place_E)):
        if neighbour_E[e] < least_D[place_E[e]]:
            least_D[place_E[e]] = neighbour_E[e]

"""How many slots a hash table has, in bits: its slot of a hash is the hash's highest bits.

Reads:  numbers of entries
Writes: bits, at least 4
Cost:   some ns
Source: open addressing at a load of at most a half; tallies of more than 2 ** 24 bytes would leave every cache
"""

from __future__ import annotations

from stages.kernels.compiled import kernel

MAX_TALLY_BITS = 24


@kernel
def tally_bits(num_entries: int) -> int:
    """For counting: eight slots for each entry, so that few share one by chance."""
    bits = 4
    while 1 << bits < 8 * num_entries and bits < MAX_TALLY_BITS:
        bits += 1
    return bits


@kernel
def table_bits(num_entries: int) -> int:
    """For a table of entries: at least two slots for each."""
    bits = 4
    while 1 << bits < 2 * num_entries:
        bits += 1
    return bits

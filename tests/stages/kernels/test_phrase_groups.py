"""The automaton against `in`."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.phrase_groups import automaton, found_in

PHRASE = st.text("abcA ", min_size=1, max_size=5) | st.just("é中")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(PHRASE, max_size=4), min_size=1, max_size=8), st.lists(PHRASE | st.just("B"), max_size=12))
def test_phrases_are_found_where_the_text_contains_them(groups: list[list[str]], pieces: list[str]) -> None:
    text = "".join(pieces)
    raw = np.frombuffer(f"a{text}b".encode(), np.uint8)
    expected = sum(1 << g for g, group in enumerate(groups) if any(p.lower() in text.lower() for p in group))
    assert found_in(raw, 1, len(raw) - 1, automaton(groups)) == expected

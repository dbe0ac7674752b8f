from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from pretrain.text_stream import TextStream
from tests.pretrain.packed import byte_tokenizer, encode

BYTES = Tokenizer.from_buffer(byte_tokenizer())
PIECES = ["a", "b", "ab", "ba", "aab", "ca"]
WORDS = Tokenizer(models.WordLevel({f"\u2581{word}": i for i, word in enumerate(PIECES)}))
WORDS.decoder = decoders.Metaspace()


@given(st.lists(st.integers(0, 255), max_size=40))
def test_text_stream_of_any_bytes_joins_up_to_the_decoded_text(ids: list[int]) -> None:
    stream = TextStream(BYTES)
    assert "".join([*map(stream.push, ids), stream.rest()]) == BYTES.decode(ids)


@given(st.text(max_size=20))
def test_text_stream_of_text_gives_whole_characters_as_soon_as_they_are_whole(text: str) -> None:
    stream = TextStream(BYTES)
    pieces = [piece for piece in map(stream.push, encode(text)[:-1]) if piece]
    assert pieces == [c for c in text if c != "\N{REPLACEMENT CHARACTER}"] or "\N{REPLACEMENT CHARACTER}" in text


def test_text_stream_that_ends_within_a_character_says_so() -> None:
    stream = TextStream(BYTES)
    pieces = [*map(stream.push, encode("a\u4e2d\u6587")[:-2]), stream.rest()]
    assert "".join(pieces) == "a\u4e2d\N{REPLACEMENT CHARACTER}"


@given(st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=12))
def test_text_stream_of_a_tokenizer_that_marks_spaces_keeps_them(ids: list[int]) -> None:
    stream = TextStream(WORDS)
    assert "".join([*map(stream.push, ids), stream.rest()]) == " ".join(PIECES[i] for i in ids)


@given(st.lists(st.integers(0, len(PIECES) - 1), min_size=2, max_size=20), st.integers(1, 19))
def test_text_stream_behind_a_prompt_keeps_the_space_between(ids: list[int], cut: int) -> None:
    cut = min(cut, len(ids) - 1)
    stream = TextStream(WORDS, prompt_ids=ids[:cut])
    assert "".join([*map(stream.push, ids[cut:]), stream.rest()]) == "".join(f" {PIECES[i]}" for i in ids[cut:])


@given(
    st.text("ab", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)
)
def test_text_stream_with_stop_strings_ends_before_the_first_met(text: str, stop: list[str]) -> None:
    stream = TextStream(BYTES, stop)
    given_out, at_end = "", ""
    for place, id in enumerate(encode(text)[:-1], 1):
        given_out += stream.push(id)
        if stream.stopped:
            at_end = text[:place]
            break
    given_out += stream.rest()
    met = [text.find(s) for s in stop if s in text]
    if not met:
        assert given_out == text and not stream.stopped
        return
    assert stream.stopped
    ends = [text.find(s) + len(s) for s in stop if s in text]
    assert len(at_end) == min(ends)  # at once
    assert given_out == at_end[: min(at_end.find(s) for s in stop if s in at_end)]

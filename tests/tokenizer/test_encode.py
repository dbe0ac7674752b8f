"""tokenizer/encode.py: both libraries give the ids `tokenizers` gives; crawled text cannot name a special token."""

from __future__ import annotations

import functools
import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_train import SPECIAL, options
from tokenizer import encode as encoding
from tokenizer.encode import Encoder
from tokenizer.errors import TokenizerError
from tokenizer.train import train_on


@functools.cache
def trained(pattern: str = "llama3", normalization: str = "none") -> bytes:
    return train_on(texts(300), options(pattern=pattern, normalization=normalization))


@functools.cache
def encoder(use_gigatoken: bool) -> Encoder:
    return Encoder(trained(), use_gigatoken)


both = pytest.mark.parametrize("use_gigatoken", [True, False])


def reference_ids(text: str) -> list[int]:
    tokenizer = Tokenizer.from_str(trained().decode())
    tokenizer.encode_special_tokens = True
    return tokenizer.encode(text).ids


def lists(encoded: tuple[np.ndarray, np.ndarray]) -> list[list[int]]:
    ids, offsets = encoded
    assert ids.dtype == np.uint32 and offsets.dtype == np.int64
    assert offsets[0] == 0 and offsets[-1] == len(ids)
    return [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def test_encoder_uses_gigatoken_where_it_agrees() -> None:
    assert encoder(True).name.startswith("gigatoken ")
    assert encoder(False).name.startswith("tokenizers ")
    assert encoder(True).vocab_size == encoder(False).vocab_size == 600


@both
@settings(max_examples=200, deadline=None)
@given(batch=st.lists(st.one_of(st.text(), st.text(alphabet="ab 1\n\r'sſ世.<|>\u0301\u00a0")), max_size=5))
def test_encode_any_text_same_ids_as_tokenizers(use_gigatoken: bool, batch: list[str]) -> None:
    assert lists(encoder(use_gigatoken).encode(pa.array(batch, pa.large_string()))) == [reference_ids(t) for t in batch]


@both
def test_encode_special_token_names_in_text_are_plain_text(use_gigatoken: bool) -> None:
    hostile = [text for token in SPECIAL for text in (token, f"a{token}", f"{token * 3} b\n{token}")]
    for text, ids in zip(hostile, lists(encoder(use_gigatoken).encode(pa.array(hostile))), strict=True):
        assert max(ids) < 597
        assert Tokenizer.from_str(trained().decode()).decode(ids) == text
    assert Tokenizer.from_str(trained().decode()).encode(SPECIAL[0]).ids == [597]  # what would happen otherwise


@both
def test_encode_sliced_null_empty_and_small_string_arrays(use_gigatoken: bool) -> None:
    batch = ["zero", None, "", "the quick 世界", "last"]
    expected = [reference_ids(t or "") for t in batch]
    for type_ in (pa.string(), pa.large_string(), pa.string_view()):
        array = pa.array(batch, type_)
        assert lists(encoder(use_gigatoken).encode(array)) == expected
        assert lists(encoder(use_gigatoken).encode(array.slice(1, 3))) == expected[1:4]
        assert lists(encoder(use_gigatoken).encode(array.slice(5))) == []
    assert lists(encoder(use_gigatoken).encode(pa.array(["", None], pa.large_string()))) == [[], []]
    assert lists(encoder(use_gigatoken).encode(pa.array([None, None], pa.large_string()))) == [[], []]


def test_encode_after_the_cache_was_dropped_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CACHE_BYTES", 1000)
    fresh = Encoder(trained())
    loads: list[int] = []
    load = fresh._load_fast

    def counted_load() -> None:
        loads.append(1)
        load()

    monkeypatch.setattr(fresh, "_load_fast", counted_load)
    corpus = pa.array(texts(40, seed=3))
    batches = [corpus.slice(i, 5) for i in range(0, 40, 5)]
    assert [ids for b in batches for ids in lists(fresh.encode(b))] == lists(encoder(False).encode(corpus))
    assert len(loads) > 1


def test_encoder_gigatoken_without_code_for_it_falls_back_and_says_why() -> None:
    slow = Encoder(trained(normalization="NFKC"))
    assert slow.name.startswith("tokenizers ") and "NFKC" in slow.name
    assert lists(slow.encode(pa.array(["ﬁ"]))) == lists(slow.encode(pa.array(["fi"])))


def test_encoder_gigatoken_with_other_ids_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = json.loads(trained())
    parsed["model"]["merges"] = parsed["model"]["merges"][::-1]
    wrong = json.dumps(parsed | {"added_tokens": []})
    monkeypatch.setattr(encoding, "_without_special_tokens", lambda tokenizer_json: wrong)
    fallen = Encoder(trained())
    assert fallen.name.endswith("(gigatoken not used: its ids differ on the check batch)")
    assert lists(fallen.encode(pa.array(["the quick"]))) == [reference_ids("the quick")]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"model": {"type": "Unigram"}}', b"\xff"])
def test_encoder_of_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"expected a tokenizer\.json"):
        Encoder(content)


@pytest.mark.slow
@pytest.mark.parametrize("pattern, normalization", [("llama3", "none"), ("gpt2", "none"), ("llama3", "NFC")])
def test_encode_every_code_point_same_ids_in_both(pattern: str, normalization: str) -> None:
    points = [c for c in range(0x30000) if not 0xD800 <= c < 0xE000] + list(range(0xE0000, 0xE0200))
    corpus = ["".join(f"a{chr(c)}b {chr(c)}1{chr(c)} " for c in points[i : i + 64]) for i in range(0, len(points), 64)]
    fast, slow = (Encoder(trained(pattern, normalization), use) for use in (True, False))
    assert fast.name.startswith("gigatoken ")
    for found, expected in zip(fast.encode(pa.array(corpus)), slow.encode(pa.array(corpus)), strict=True):
        np.testing.assert_array_equal(found, expected)

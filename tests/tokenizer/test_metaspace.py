"""tokenizer/metaspace.py: texts come back, BPE is that of `tokenizers` on the texts, files are the same every time."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_characters import counts_of
from tokenizer import characters, metaspace
from tokenizer.count import WordCounts
from tokenizer.encode import Encoder, string_buffers
from tokenizer.errors import TokenizerError
from tokenizer.metaspace import train_byte_fallback, train_unigram
from tokenizer.normalise import counted_texts
from tokenizer.one_thread import one_thread
from tokenizer.pretokenize import Pretokenizer, expression
from tokenizer.sorted_counts import Counts
from tokenizer.train import Options

SPECIAL = ("<|end_of_text|>", "<|pad|>")
BOTH = pytest.mark.parametrize("train", [train_byte_fallback, train_unigram])
HOSTILE = [
    "", " ", "  ", "a", " a", "  a  b ", "\n", "\n\n a\n", "\t x\r\n", "a\0b", "\0", "👩‍👩‍👧‍👦 🏳️‍🌈", "e\u0301",
    "<0x41> <0x0A><0xe4>", "<unk>", "<s></s>", "<|end_of_text|><|pad|>", "½ 中文\u3000、", "\U0010ffff x\ufffe",
    "\ufeff", "  def f(x):\n      return 1\n", "\u00a0\u2003\u2028", "x" * 5000, " " * 5000, "\x85\x1c", "'ſ İ ǅ",
]  # fmt: skip


def options(**changes: Any) -> Options:
    defaults: dict[str, Any] = {
        "vocab_size": 900, "min_frequency": 2, "max_token_length": 16, "pattern": "llama3", "normalization": "none",
        "special_tokens": SPECIAL,
    }  # fmt: skip
    return Options(**(defaults | changes))


def counted(corpus: list[str], normalization: str = "none") -> Counts:
    words = WordCounts(Pretokenizer("llama3"))
    words.add(*string_buffers(counted_texts("unigram", normalization)(pa.array(corpus, pa.large_string()))))
    return words.arrays()


@functools.cache
def trained(train: Callable[[Counts, Options], bytes]) -> Tokenizer:
    tokenizer = Tokenizer.from_str(train(counted(texts(300)), options()).decode())
    tokenizer.encode_special_tokens = True
    return tokenizer


@BOTH
@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="<>0x4AunkFfa \n\t'世中1é")))
def test_any_text_comes_back(train: Callable[[Counts, Options], bytes], text: str) -> None:
    text = text.replace("\u2581", "")
    ids = trained(train).encode(text).ids
    assert trained(train).decode(ids) == trained(train).decode(ids, skip_special_tokens=False) == text
    assert 0 not in ids and max(ids, default=0) < trained(train).token_to_id(SPECIAL[0])


@BOTH
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_comes_back(train: Callable[[Counts, Options], bytes], text: str) -> None:
    assert trained(train).decode(trained(train).encode(text).ids) == text


@BOTH
def test_the_sign_that_stands_for_a_space_comes_back_as_one(train: Callable[[Counts, Options], bytes]) -> None:
    assert trained(train).decode(trained(train).encode("a\u2581b").ids) == "a b"


@BOTH
def test_decoding_a_part_loses_the_space_before_it(train: Callable[[Counts, Options], bytes]) -> None:
    """As in sentencepiece: the first space is taken for the one that was put before the text."""
    ids = trained(train).encode("the quick").ids
    [(k, _)] = [(k, i) for k, i in enumerate(ids) if trained(train).id_to_token(i).startswith("▁")][1:]
    assert trained(train).decode(ids[:k]) + trained(train).decode(ids[k:]) == "thequick"


@BOTH
def test_ids_are_unknown_bytes_learned_special(train: Callable[[Counts, Options], bytes]) -> None:
    tokenizer = trained(train)
    assert [tokenizer.id_to_token(i) for i in (0, 1, 256)] == ["<unk>", "<0x00>", "<0xFF>"]
    size = tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(t) for t in SPECIAL] == [size - 2, size - 1] and size <= 900
    assert max(len(t) for t in tokenizer.get_vocab(with_added_tokens=False) if not t.startswith("<0x")) <= 16
    assert tokenizer.encode("é").ids[-2:] == [1 + 0xC3, 1 + 0xA9]


@BOTH
def test_encoder_takes_the_file_and_gives_the_same_ids(train: Callable[[Counts, Options], bytes]) -> None:
    encoder = Encoder(trained(train).to_str().encode())
    batch = [*texts(20, seed=5), *HOSTILE]
    ids, offsets = encoder.encode(pa.array(batch, pa.large_string()))
    for text, (start, end) in zip(batch, itertools.pairwise(offsets.tolist()), strict=True):
        assert ids[start:end].tolist() == trained(train).encode(text).ids


@pytest.mark.parametrize("min_frequency, max_token_length", [(2, 16), (4, 3), (2, None)])
def test_byte_fallback_is_what_tokenizers_learns_from_the_texts(
    min_frequency: int, max_token_length: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(characters, "CHARACTER_COVERAGE", 1.0)
    corpus = texts(200)
    cfg = options(min_frequency=min_frequency, max_token_length=max_token_length)
    ours = json.loads(train_byte_fallback(counted(corpus), cfg))["model"]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(expression("llama3")), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never", split=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900 - 257 - 2, min_frequency=min_frequency, show_progress=False,
        initial_alphabet=[chr(c) for c in range(0x21, 0x7F)],
        max_token_length=None if max_token_length is None else max_token_length + 1,
    )  # fmt: skip
    with one_thread():
        learner.train_from_iterator((" " + text for text in corpus if text), trainer)
    theirs = json.loads(learner.to_str())["model"]
    assert ours["merges"] == theirs["merges"] and len(ours["merges"]) > 100
    learned = sorted(ours["vocab"], key=ours["vocab"].__getitem__)[257:]
    assert learned == sorted(theirs["vocab"], key=theirs["vocab"].__getitem__)


@BOTH
def test_neighbours_of_a_rare_character_are_never_joined(train: Callable[[Counts, Options], bytes]) -> None:
    words = {f"x{chr(0x4E00 + k)}y": 5 for k in range(3000)} | {"zq": 15_000, "zqx": 9000}
    tokenizer = Tokenizer.from_str(train(counts_of(words), options(vocab_size=500)).decode())
    assert "zq" in tokenizer.get_vocab() and "xy" not in tokenizer.get_vocab()
    assert tokenizer.decode(tokenizer.encode("x\u4e00y").ids) == "x\u4e00y"


@BOTH
def test_normalised_texts_are_counted_and_encoded_alike(train: Callable[[Counts, Options], bytes]) -> None:
    corpus = ["e\u0301te\u0301 \ufb01n"] * 50
    tokenizer = Tokenizer.from_str(train(counted(corpus, "NFKC"), options(normalization="NFKC")).decode())
    assert tokenizer.encode("e\u0301te\u0301").ids == tokenizer.encode("été").ids
    assert tokenizer.decode(tokenizer.encode(corpus[0]).ids) == "été fin"


@BOTH
def test_nothing_to_learn_from_still_encodes_everything(train: Callable[[Counts, Options], bytes]) -> None:
    tokenizer = Tokenizer.from_str(train(counts_of({}), options()).decode())
    assert tokenizer.decode(tokenizer.encode("Grüße, 世界\n <0x41>").ids) == "Grüße, 世界\n <0x41>"


@BOTH
def test_special_token_that_was_learned_is_refused(train: Callable[[Counts, Options], bytes]) -> None:
    with pytest.raises(TokenizerError, match="'~' was learned"):
        train(counted(["here"] * 100), options(special_tokens=("<|end|>", "<|pad|>", "~")))


@BOTH
def test_vocabulary_too_small_for_what_is_always_there_is_refused(train: Callable[[Counts, Options], bytes]) -> None:
    assert train(counts_of({}), options(vocab_size=354))
    with pytest.raises(TokenizerError, match="a vocabulary of 353; expected at least 354"):
        train(counts_of({}), options(vocab_size=353))


def test_byte_fallback_too_many_characters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metaspace, "MAX_CHARACTERS", 9999)
    assert train_byte_fallback(counts_of({"ab": 4999}), options())
    with pytest.raises(TokenizerError, match="10,000 characters"):
        train_byte_fallback(counts_of({"ab": 5000}), options())


@pytest.mark.slow
def test_other_process_other_order_same_bytes() -> None:
    corpus = texts(300)
    random.Random(1).shuffle(corpus)
    here = [
        hashlib.sha256(train(counted(corpus), options())).hexdigest() for train in (train_byte_fallback, train_unigram)
    ]
    code = (
        "import hashlib; from tests.tokenizer.test_metaspace import *\n"
        "for train in (train_byte_fallback, train_unigram):\n"
        "    print(hashlib.sha256(train(counted(texts(300)), options())).hexdigest())"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == here
    )

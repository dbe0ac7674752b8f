"""tokenizer/formats.py: read by tiktoken, `tokenizers` and transformers, the ids are those of the tokenizer.json."""

from __future__ import annotations

import base64
import functools
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from tests.shared_data import SHARED, needs_shared
from tests.tokenizer.corpus import texts
from tests.tokenizer.test_train import options
from tokenizer.formats import TIKTOKEN, TIKTOKEN_SETTINGS, gpt2_files, tiktoken_files, unlike_tiktoken
from tokenizer.pretokenize import Digits, Pattern, expression
from tokenizer.symbols import BYTE_OF_SYMBOL
from tokenizer.train import train_on

tiktoken = pytest.importorskip("tiktoken")

CASES = pytest.mark.parametrize("pattern, digits", [("llama3", None), ("llama3", "1"), ("gpt2", None), ("gpt4o", None)])
PIECES = [
    "ab",
    " ",
    "  ",
    "\n",
    "1234",
    "'s",
    "'S",
    "'ſ",
    "世界",
    "é",
    "e\u0301",
    "\u00a0",
    "👍",
    "<|pad|>",
    "QUICK",
    "/",
    "\0",
]


@functools.cache
def tokenizer_json(pattern: Pattern = "llama3", digits: Digits | None = None, vocab_size: int = 900) -> bytes:
    return train_on(texts(300), options(pattern=pattern, digits=digits, vocab_size=vocab_size))


def encoding(content: bytes, pattern: Pattern = "llama3", digits: Digits | None = None) -> Any:
    """tiktoken's, of the files' content. load_tiktoken_bpe keeps what it once read of a path, even a local one."""
    files = tiktoken_files(content, expression(pattern, digits))
    lines = map(bytes.split, files[TIKTOKEN].splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(name="ours", mergeable_ranks=ranks, **json.loads(files[TIKTOKEN_SETTINGS]))


@CASES
def test_tiktoken_gives_the_same_ids(pattern: Pattern, digits: Digits | None) -> None:
    content = tokenizer_json(pattern, digits)
    assert unlike_tiktoken(content) == 0
    ours = Tokenizer.from_str(content.decode())
    theirs = encoding(content, pattern, digits)
    rng = random.Random(1)
    for text in [*texts(50, seed=8), *("".join(rng.choices(PIECES, k=12)) for _ in range(500))]:
        assert theirs.encode(text, allowed_special="all") == ours.encode(text).ids
    assert theirs.n_vocab == ours.get_vocab_size() > 700
    assert theirs.encode_single_token("<|end_of_text|>") == ours.token_to_id("<|end_of_text|>")


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_tiktoken_any_text_same_ids(text: str) -> None:
    ours, theirs = both()
    assert theirs.encode_ordinary(text) == ours.encode(text).ids


@functools.cache
def both() -> tuple[Tokenizer, Any]:
    return Tokenizer.from_str(tokenizer_json().decode()), encoding(tokenizer_json())


@needs_shared
def test_tiktoken_real_texts_same_ids() -> None:
    corpus = []
    for name in ("lm-00", "langid-00"):
        with (SHARED / "data" / "text" / f"{name}.jsonl.zst").open("rb") as file:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
            corpus += [json.loads(line)["text"][:3000] for line in lines][::9]
    content = train_on(corpus[::2], options(vocab_size=8192))
    assert unlike_tiktoken(content) == 0
    ours, theirs = Tokenizer.from_str(content.decode()), encoding(content)
    ours.encode_special_tokens = True
    found = ours.encode_batch_fast(corpus)
    assert [e.ids for e in found] == theirs.encode_ordinary_batch(corpus)
    assert len(corpus) > 2000


def by_hand(merges: list[tuple[str, str]]) -> bytes:
    """A tokenizer.json with these merges; tokens are numbered as they come up."""
    vocab = {symbol: id_ for id_, symbol in enumerate(sorted(BYTE_OF_SYMBOL))}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    parsed = json.loads(tokenizer_json())
    return json.dumps(
        parsed | {"added_tokens": [], "model": parsed["model"] | {"vocab": vocab, "merges": merges}}
    ).encode()


def test_unlike_tiktoken_token_of_other_parts_is_counted_and_differs() -> None:
    content = by_hand([("b", "c"), ("a", "b"), ("ab", "c")])
    assert unlike_tiktoken(content) == 1
    ours, theirs = Tokenizer.from_str(content.decode()), encoding(content)
    assert len(ours.encode("zabc").ids) == 3 and len(theirs.encode("zabc")) == 2


def test_unlike_tiktoken_token_of_two_merges_is_counted() -> None:
    assert unlike_tiktoken(by_hand([("a", "b"), ("ab", "c"), ("b", "c"), ("a", "bc")])) == 1
    assert unlike_tiktoken(by_hand([("a", "b"), ("b", "c"), ("ab", "c"), ("c", "c")])) == 0


@pytest.mark.parametrize("seed", range(3))
def test_unlike_tiktoken_none_counted_then_random_texts_have_the_same_ids(seed: int) -> None:
    """Merges in any order that is possible, learned from nothing: those that are not counted must agree."""
    rng = random.Random(seed)
    agreed = 0
    for _ in range(150):
        tokens, merges = list("abc"), []
        for _ in range(6):
            pair = (rng.choice(tokens), rng.choice(tokens))
            if len("".join(pair)) <= 6 and pair not in merges:
                merges.append(pair)
                tokens = list(dict.fromkeys([*tokens, "".join(pair)]))
        content = by_hand(merges)
        if unlike_tiktoken(content):
            continue
        agreed += 1
        ours, theirs = Tokenizer.from_str(content.decode()), encoding(content)
        for _ in range(40):
            text = "".join(rng.choices("abc", k=14))
            assert theirs.encode(text) == ours.encode(text).ids, (merges, text)
    assert agreed > 30


def test_gpt2_files_load_as_a_model_with_the_same_tokens(tmp_path: Path) -> None:
    for name, data in gpt2_files(tokenizer_json()).items():
        (tmp_path / name).write_bytes(data)
    model = models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    ours = Tokenizer.from_str(tokenizer_json().decode())
    for word in ("the", "Ġquick", "Ġunderstand", "æĪĳä»¬", "Ċ"):
        assert [t.id for t in model.tokenize(word)] == [t.id for t in ours.model.tokenize(word)]


def test_gpt2_files_load_in_transformers_with_gpt2s_pattern(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    content = tokenizer_json("gpt2")
    for name, data in gpt2_files(content).items():
        (tmp_path / name).write_bytes(data)
    end = "<|end_of_text|>"
    loaded_ = transformers.GPT2Tokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), bos_token=end, eos_token=end, unk_token=end
    )
    ours = Tokenizer.from_str(content.decode())
    for text in texts(30, seed=4):
        assert loaded_(text)["input_ids"] == ours.encode(text).ids
    assert loaded_.eos_token_id == 897 and len(loaded_) == 900


def test_gpt2_files_merge_that_reads_as_a_header_leaves_them_out() -> None:
    word = "#version"
    merges = [(word[:k], word[k]) for k in range(1, len(word))]
    assert gpt2_files(by_hand(merges))
    assert gpt2_files(by_hand([*merges, (word, "Ġ")])) == {}

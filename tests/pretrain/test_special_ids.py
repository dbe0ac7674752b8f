from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from pipeline.errors import DataError
from pretrain.objective_config import Kind, ObjectiveConfig, num_sentinels
from pretrain.special_ids import SpecialIds, special_ids
from tests.pretrain.objective_rows import LENGTH, special_for, tokenizer_with_reserved, tokens_contract
from tests.pretrain.packed import VOCAB_SIZE, byte_tokenizer

WORDS = ObjectiveConfig(kind="masked", whole_words=True)
TEXT = "The re-use of naïve words, (2 or 3), isn't\nodd: 中文维基百科。カタカナ です — слова и Größe.\t\tend"
# white space; what is written without spaces; letters and digits; marks. CJK marks are words of their own
WORD = re.compile(r"[ \n\t]|[\u3000-\u9fff]|[^\W\u3000-\u9fff]+|[^\w \n\t\u3000-\u9fff]+")


def reserved_first(kind: Kind, num_reserved: int) -> SpecialIds:
    contract = tokens_contract(num_reserved=num_reserved)
    return special_ids(tokenizer_with_reserved(num_reserved), ObjectiveConfig(kind=kind), contract)


def grouped(special: SpecialIds, ids: list[int]) -> list[list[int]]:
    assert special.words is not None
    begins = special.words.begins(np.array([ids]))[0]
    return [part.tolist() for part in np.split(np.array(ids), np.flatnonzero(begins)[1:])]


def test_special_ids_are_reserved_tokens_in_order_and_do_not_overlap() -> None:
    cfg = ObjectiveConfig(kind="ul2")
    ids = special_for(cfg)
    assert ids.modes == (VOCAB_SIZE, VOCAB_SIZE + 1, VOCAB_SIZE + 2)
    first = VOCAB_SIZE + 3
    assert ids.sentinels == tuple(range(first, first + num_sentinels(cfg, LENGTH)))
    assert reserved_first("masked", 1).mask == (VOCAB_SIZE,)
    assert reserved_first("fim", 3).fim == (VOCAB_SIZE, VOCAB_SIZE + 1, VOCAB_SIZE + 2)
    assert reserved_first("causal", 0).ordinary_V.tolist() == list(range(256))


@pytest.mark.parametrize(
    "cfg, needed",
    [
        (ObjectiveConfig(kind="masked"), 1), (ObjectiveConfig(kind="masked", next_sentence=True), 5),
        (ObjectiveConfig(kind="fim"), 3), (ObjectiveConfig(kind="spans"), 26), (ObjectiveConfig(kind="ul2"), 88),
    ],
)  # fmt: skip
def test_special_ids_with_too_few_reserved_tokens_say_how_many_to_ask_for(cfg: ObjectiveConfig, needed: int) -> None:
    special_ids(tokenizer_with_reserved(needed), cfg, tokens_contract(512, needed))
    with pytest.raises(
        DataError, match=rf"{needed - 1} reserved tokens for the objective {cfg.kind}.*{needed} at least"
    ) as e:
        special_ids(tokenizer_with_reserved(needed - 1), cfg, tokens_contract(512, needed - 1))
    assert f"reserved_tokens: {needed}" in e.value.mend
    assert "stages.vocabulary" in e.value.mend


def test_words_of_a_byte_level_vocabulary_are_those_of_a_pattern() -> None:
    ids = Tokenizer.from_buffer(byte_tokenizer()).encode(TEXT).ids
    text_of = {id: bytes([byte]) for byte, id in zip(TEXT.encode(), ids, strict=True)}
    found = [b"".join(text_of[id] for id in word).decode() for word in grouped(special_for(WORDS), ids)]
    assert found == WORD.findall(TEXT)


@pytest.mark.parametrize("in_pieces", [["▁ The", "▁", "re", "fore", "s", ",", "▁re", "▁", "中", "文"]])
def test_words_of_sentencepiece_like_vocabularies_begin_at_the_space_sign(in_pieces: list[str]) -> None:
    pieces = ["<unk>", "<0xE4>", "<0xB8>", "<0xAD>", *dict.fromkeys(in_pieces), "▁x"]
    model = models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True), AddedToken("<|reserved_0|>", special=True)])
    contract = tokens_contract() | {"vocab_size": tokenizer.get_vocab_size(), "eot_id": len(pieces)}
    special = special_ids(tokenizer.to_str().encode(), WORDS, contract)
    id_of = {piece: i for i, piece in enumerate(pieces)}
    text = ["▁re", "fore", "s", ",", "re", "<0xE4>", "<0xB8>", "<0xAD>", "中", "文", "▁x"]
    found = [[pieces[id] for id in word] for word in grouped(special, [id_of[piece] for piece in text])]
    assert found == [
        ["▁re", "fore", "s"], [","], ["re"], ["<0xE4>", "<0xB8>", "<0xAD>"], ["中"], ["文"], ["▁x"]
    ]  # fmt: skip
    assert 0 not in special.ordinary_V  # the unknown token stands for no text
    assert special.ordinary_V.tolist() == list(range(1, len(pieces)))


def test_words_of_merged_byte_level_tokens_begin_at_their_white_space() -> None:
    pieces = ["Ġthe", "re", "fore", ",", "Ġ", "ä¸", "Ń", "é", "ĠâĢ", "ľ"]
    tokenizer = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True), AddedToken("<|reserved_0|>", special=True)])
    contract = tokens_contract() | {"vocab_size": len(pieces) + 2, "eot_id": len(pieces)}
    special = special_ids(tokenizer.to_str().encode(), WORDS, contract)
    eot = len(pieces)
    assert grouped(special, [0, 1, 2, 3, 4, 1, 2]) == [[0, 1, 2], [3], [4], [1, 2]]
    assert grouped(special, [1, 5, 6, 5, 6]) == [[1], [5, 6], [5, 6]]  # 中中, of two tokens each
    assert grouped(special, [1, eot, 1, 2]) == [[1], [eot], [1, 2]]


def test_special_ids_without_reserved_tokens_serve_causal() -> None:
    fields = json.loads(byte_tokenizer())
    special = special_ids(json.dumps(fields).encode(), ObjectiveConfig(), tokens_contract(num_reserved=0))
    assert (special.eot, special.pad, special.mask, special.words) == (256, 257, (), None)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from pipeline.errors import DagError
from pipeline.store import Folder
from pretrain import generate
from tests.pretrain.packed import EOT_ID, encode
from tests.pretrain.test_export import CONTRACT, write_export

PROMPT = "Once upon a time"


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    write_export(tmp_path / "model")
    return str(tmp_path)


def test_continue_ids_greedy_equal_transformers_generate(artifact: str) -> None:
    generator = generate.load(Folder(artifact).child("model"))
    prompt = encode(PROMPT)[:-1]
    ours = list(generate.continue_ids(generator, prompt, 60, 0.0, 0, 1))
    peer = transformers.AutoModelForCausalLM.from_pretrained(Path(artifact) / "model").eval()
    theirs = peer.generate(torch.tensor([prompt]), max_new_tokens=60, do_sample=False)[0, len(prompt) :].tolist()
    assert len(set(ours)) > 3  # not one token over and over
    assert [*ours, EOT_ID][: len(theirs)] == theirs


def test_continue_ids_at_the_end_token_stop_before_it(artifact: str) -> None:
    generator = generate.load(Folder(artifact).child("model"))
    prompt = encode(PROMPT)[:-1]
    on = list(generate.continue_ids(generator, prompt, 30, 5.0, 0, 1))
    assert len(on) > 4
    ending = replace(generator, eot_id=on[4])
    assert list(generate.continue_ids(ending, prompt, 30, 5.0, 0, 1)) == on[: on.index(on[4])]


def test_run_pieces_joined_are_the_same_for_a_seed_and_differ_for_another(artifact: str) -> None:
    def text(seed: int) -> str:
        return "".join(generate.run(artifact, PROMPT, 40, 1.0, 50, seed))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_continue_ids_with_top_k_one_are_the_greedy_ones(artifact: str) -> None:
    generator = generate.load(Folder(artifact).child("model"))
    greedy = list(generate.continue_ids(generator, encode(PROMPT)[:-1], 20, 0.0, 0, 1))
    assert list(generate.continue_ids(generator, encode(PROMPT)[:-1], 20, 1.5, 1, 9)) == greedy


def test_continue_ids_past_the_trained_length_go_on_with_the_last_tokens(artifact: str) -> None:
    generator = generate.load(Folder(artifact).child("model"))
    long = encode(PROMPT * 30)[:-1]
    assert len(long) > generator.length
    first = next(generate.continue_ids(generator, long, 1, 0.0, 0, 1))
    assert first == next(generate.continue_ids(generator, long[-generator.length :], 1, 0.0, 0, 1))


def test_continue_text_of_split_characters_yields_whole_ones(artifact: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = generate.load(Folder(artifact).child("model"))
    text = "a\u4e2d\u6587\U0001f600z"
    ids = encode(text)[:-1]
    monkeypatch.setattr(generate, "continue_ids", lambda *_: iter(ids))
    pieces = list(generate.continue_text(generator, [1], 50, 0.0, 0, 1))
    assert [p for p in pieces if p] == list(text)
    monkeypatch.setattr(generate, "continue_ids", lambda *_: iter(ids[:-3]))  # cut inside the last but one
    assert "".join(generate.continue_text(generator, [1], 50, 0.0, 0, 1)) == "a\u4e2d\u6587\N{REPLACEMENT CHARACTER}"


def test_run_with_an_empty_prompt_begins_at_bos_or_is_refused_where_there_is_none(artifact: str) -> None:
    assert isinstance("".join(generate.run(artifact, "", 5, 0.0, 0, 1)), str)
    write_export(Path(artifact) / "model", CONTRACT | {"bos_id": None})
    with pytest.raises(DagError, match="prompt is empty"):
        generate.run(artifact, "", 5, 0.0, 0, 1)

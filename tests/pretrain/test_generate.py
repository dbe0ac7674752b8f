from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from pipeline.errors import DagError, DataError
from pipeline.store import Folder
from pretrain import generate
from pretrain.generate import Generator, Settings, continue_samples
from pretrain.sampling import Sampling
from tests.pretrain.packed import EOT_ID, encode
from tests.pretrain.test_export import CONTRACT, SHAPE, write_export

PROMPT = "Once upon a time"
GREEDY = Sampling(temperature=0)


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    write_export(tmp_path / "model")
    return str(tmp_path)


@pytest.fixture
def generator(artifact: str) -> Generator:
    return generate.load(Folder(artifact).child("model"))


def texts(generator: Generator, settings: Settings, prompt: str = PROMPT) -> list[str]:
    """Of all samples; each ends once, after its last piece."""
    found, ended = [""] * settings.num_samples, [False] * settings.num_samples
    for sample, text, ends in continue_samples(generator, encode(prompt)[:-1], settings):
        assert not ended[sample]
        found[sample] += text
        ended[sample] = ends
    assert all(ended)
    return found


@pytest.mark.parametrize("cached", [True, False])
def test_continue_samples_greedily_equals_transformers_generate(
    artifact: str, generator: Generator, cached: bool
) -> None:
    prompt = encode(PROMPT)[:-1]
    peer = transformers.AutoModelForCausalLM.from_pretrained(Path(artifact) / "model").eval()
    theirs = peer.generate(torch.tensor([prompt]), max_new_tokens=60, do_sample=False)[0, len(prompt) :].tolist()
    [ours] = texts(generator, Settings(sampling=GREEDY, max_new_tokens=60, cached=cached))
    assert len(set(theirs)) > 3  # not one token over and over
    assert ours == generator.tokenizer.decode(theirs)


def test_continue_samples_past_the_trained_length_is_the_same_with_a_cache_and_without(generator: Generator) -> None:
    short = replace(generator, length=24)
    drawn = Sampling(temperature=0.7, top_p=0.9)
    found = [
        texts(short, Settings(sampling=drawn, max_new_tokens=70, num_samples=2, cached=cached))
        for cached in (True, False)
    ]
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_continue_samples_side_by_side_are_those_drawn_alone(generator: Generator) -> None:
    together = texts(generator, Settings(max_new_tokens=20, num_samples=3, seed=5))
    alone = [texts(generator, Settings(max_new_tokens=20, seed=5 + sample))[0] for sample in range(3)]
    assert together == alone
    assert len(set(together)) == 3


def test_continue_samples_at_the_end_token_ends_before_it_while_others_go_on(generator: Generator) -> None:
    settings = Settings(sampling=Sampling(temperature=5.0), max_new_tokens=30, num_samples=3)
    whole = texts(generator, settings)
    ends_with = encode(whole[0][4])[0]
    ending = texts(replace(generator, eot_id=ends_with), settings)
    for text, cut in zip(whole, ending, strict=True):
        assert cut == text.partition(whole[0][4])[0]
    assert len(set(map(len, ending))) > 1


def test_continue_samples_with_top_k_one_is_greedy(generator: Generator) -> None:
    one = Sampling(temperature=1.5, top_k=1)
    greedy = texts(generator, Settings(sampling=GREEDY, max_new_tokens=20))
    assert texts(generator, Settings(sampling=one, max_new_tokens=20, seed=9)) == greedy


def test_continue_samples_with_a_stop_string_end_before_it(generator: Generator) -> None:
    [whole] = texts(generator, Settings(sampling=GREEDY, max_new_tokens=40))
    stop = whole[10:13]
    settings = Settings(sampling=GREEDY, max_new_tokens=40, stop=(stop, "nothing like this"))
    assert texts(generator, settings) == [whole[: whole.index(stop)]]


def test_continue_samples_by_beam_search_gives_the_best_ones_of_transformers(
    artifact: str, generator: Generator
) -> None:
    prompt = encode(PROMPT)[:-1]
    peer = transformers.AutoModelForCausalLM.from_pretrained(Path(artifact) / "model").eval()
    theirs = peer.generate(
        torch.tensor([prompt]), max_new_tokens=20, num_beams=4, do_sample=False, early_stopping="never",
        num_return_sequences=2,
    )  # fmt: skip
    ours = texts(generator, Settings(max_new_tokens=20, num_beams=4, num_samples=2))
    decoded = [generator.tokenizer.decode(row[len(prompt) :]) for row in theirs.tolist()]
    assert ours == decoded


def test_run_of_several_prompts_gives_each_its_samples(artifact: str, generator: Generator) -> None:
    options: dict[str, Any] = {"max_new_tokens": 8, "num_samples": 2, "temperature": 0.9, "seed": 3, "top_k": 0}
    found: dict[tuple[int, int], str] = {}
    for piece in generate.run(artifact, [PROMPT, "Other"], options):
        found[piece.prompt, piece.sample] = found.get((piece.prompt, piece.sample), "") + piece.text
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    bos = generator.tokenizer.decode([EOT_ID], skip_special_tokens=False)
    settings = Settings(sampling=Sampling(temperature=0.9), max_new_tokens=8, num_samples=2, seed=3)
    assert [found[1, 0], found[1, 1]] == texts(generator, settings, bos + "Other")


def test_run_with_an_empty_prompt_begins_at_bos_or_is_refused_where_there_is_none(artifact: str) -> None:
    assert list(generate.run(artifact, [""], {"max_new_tokens": 5}))
    write_export(Path(artifact) / "model", CONTRACT | {"bos_id": None})
    with pytest.raises(DagError, match="prompt is empty"):
        generate.run(artifact, ["text", ""], {"max_new_tokens": 5})


def test_settings_with_more_samples_than_beams_or_an_empty_stop_are_refused() -> None:
    with pytest.raises(DagError, match="--num"):
        Settings(num_beams=2, num_samples=3)
    with pytest.raises(DagError, match="--stop"):
        Settings(stop=("",))


def test_load_of_an_encoder_is_refused(tmp_path: Path) -> None:
    write_export(tmp_path, shape=replace(SHAPE, architecture="encoder"))
    with pytest.raises(DataError, match="architecture encoder"):
        generate.load(Folder(str(tmp_path)))

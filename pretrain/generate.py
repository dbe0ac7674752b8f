"""Text from a trained model.

Reads:  a model artifact's `model/` folder
Writes: nothing
Cost:   one pass over the prompt, then one over a single token per new token: see pretrain.window
Source: see pretrain.sampling and pretrain.beam

The same model, prompt, settings and seed give the same text. The model sees its last `length` tokens, as many as it
was trained on: where a text grows longer, it goes on from the second half of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from pipeline.errors import DagError, DataError
from pipeline.store import Folder
from pretrain import beam, export
from pretrain.samples import Samples
from pretrain.sampling import Sampling
from pretrain.text_stream import TextStream
from pretrain.window import Window


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A model ready to continue text. Ids are None where the tokenizer has no such token."""

    model: nn.Module
    tokenizer: Tokenizer
    length: int
    bos_id: int | None
    eot_id: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How prompts are continued."""

    sampling: Sampling = field(default_factory=Sampling)
    max_new_tokens: int = 100
    num_samples: int = 1
    """Continuations of each prompt; with beams, the best ones."""
    seed: int = 0
    """Of the first sample; the next ones have the next numbers."""
    num_beams: int = 0
    """Beam search with so many beams; 0: tokens are drawn as `sampling` says."""
    length_penalty: float = 1.0
    """Of beam search: see pretrain.beam."""
    stop: tuple[str, ...] = ()
    """A text ends before the first of these."""
    cached: bool = True
    """False reads all tokens again for each new one."""

    def __post_init__(self) -> None:
        if 0 < self.num_beams < self.num_samples:
            raise DagError(f"{self.num_samples} samples of {self.num_beams} beams", where="--num",
                           expected="at most as many as --beams")  # fmt: skip
        if "" in self.stop:
            raise DagError("an empty string", where="--stop", expected="some text")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of one sample's text. `ends` says that it was the last one (it may be empty)."""

    prompt: int
    sample: int
    text: str
    ends: bool


def load(folder: Folder) -> Generator:
    """Open an export. StoreError where a file of it is missing, DataError where the model does not go on from text."""
    fields = json.loads(folder.read_bytes("config.json"))
    model = export.load(folder)
    if model.shape.architecture != "decoder":
        raise DataError(
            f"a model of the architecture {model.shape.architecture}", where=folder.shown(), expected="a decoder",
            mend="An encoder fills in what is masked, an encoder-decoder what was taken out: neither continues a text.",
        )  # fmt: skip
    return Generator(
        model=model,
        tokenizer=Tokenizer.from_buffer(folder.read_bytes("tokenizer.json")),
        length=fields["max_position_embeddings"],
        bos_id=fields["bos_token_id"],
        eot_id=fields["eos_token_id"],
    )


def run(artifact_location: str, prompts: Sequence[str], options: Mapping[str, Any]) -> Iterator[Piece]:
    """Pieces of all continuations as they come, prompt after prompt. `options`: the fields of Settings and Sampling."""
    limits = {name: options[name] for name in Sampling.__dataclass_fields__ if name in options}
    others = {name: options[name] for name in Settings.__dataclass_fields__ if name in options}
    settings = Settings(sampling=Sampling(**limits), **others)
    generator = load(Folder(artifact_location).child("model"))
    encoded = [_prompt_ids(generator, prompt) for prompt in prompts]  # refused before the first is continued
    return (
        Piece(prompt=number, sample=sample, text=text, ends=ends)
        for number, ids in enumerate(encoded)
        for sample, text, ends in continue_samples(generator, ids, settings)
    )


def _prompt_ids(generator: Generator, prompt: str) -> list[int]:
    ids: list[int] = generator.tokenizer.encode(prompt, add_special_tokens=False).ids
    if generator.bos_id is not None:
        ids = [generator.bos_id, *ids]
    if not ids:
        raise DagError("the prompt is empty", expected="some text: this model's tokenizer has no token to begin with")
    return ids


def continue_samples(
    generator: Generator, prompt_ids: Sequence[int], settings: Settings
) -> Iterator[tuple[int, str, bool]]:
    """(sample, piece of its text, whether it ends), the samples side by side. Characters come whole."""
    window = Window(generator.model, generator.length, prompt_ids, settings.cached)
    streams = [
        TextStream(generator.tokenizer, settings.stop, prompt_ids) for _ in range(settings.num_samples)
    ]  # fmt: skip
    if settings.num_beams:
        yield from _best_beams(generator, window, settings, streams)
        return
    samples = Samples(window, settings.sampling, settings.num_samples, settings.seed)
    for _ in range(settings.max_new_tokens):
        ended = set()
        for sample, id in samples.step().items():
            stream = streams[sample]
            text = "" if id == generator.eot_id else stream.push(id)
            if id == generator.eot_id or stream.stopped:
                yield sample, text + stream.rest(), True
                ended.add(sample)
            elif text:
                yield sample, text, False
        samples.end(ended)
        if not samples.running:
            return
    for sample in samples.running:
        yield sample, streams[sample].rest(), True


def _best_beams(
    generator: Generator, window: Window, settings: Settings, streams: Sequence[TextStream]
) -> Iterator[tuple[int, str, bool]]:
    found = beam.search(
        window, generator.eot_id, settings.max_new_tokens, settings.num_beams, settings.length_penalty
    )  # fmt: skip
    for sample, (stream, hypothesis) in enumerate(zip(streams, found, strict=False)):
        pieces = []
        for id in hypothesis.ids:
            if not stream.stopped:
                pieces.append(stream.push(id))
        yield sample, "".join([*pieces, stream.rest()]), True


def continue_text(
    generator: Generator, prompt_ids: Sequence[int], max_new_tokens: int, temperature: float, top_k: int, seed: int
) -> Iterator[str]:
    """Pieces of one continuation."""
    settings = Settings(
        sampling=Sampling(temperature=temperature, top_k=top_k), max_new_tokens=max_new_tokens, seed=seed
    )
    return (text for _, text, _ in continue_samples(generator, prompt_ids, settings))

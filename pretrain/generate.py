"""Text from a trained model.

Reads:  a model artifact's `model/` folder
Writes: nothing
Cost:   one forward pass over all tokens so far (at most the trained length) per new token; there is no key/value cache
Source: top-k sampling: Fan et al. 2018

The same model, prompt, settings and seed give the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from pipeline.errors import DagError
from pipeline.store import Folder
from pretrain import export
from pretrain.model import Transformer


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A model ready to continue text. Ids are None where the tokenizer has no such token."""

    model: Transformer
    tokenizer: Tokenizer
    length: int
    bos_id: int | None
    eot_id: int


def load(folder: Folder) -> Generator:
    """Open an export. StoreError where a file of it is missing."""
    config = folder.read_bytes("config.json")
    fields = json.loads(config)
    return Generator(
        model=export.read(config, folder.read_bytes("model.safetensors")),
        tokenizer=Tokenizer.from_buffer(folder.read_bytes("tokenizer.json")),
        length=fields["max_position_embeddings"],
        bos_id=fields["bos_token_id"],
        eot_id=fields["eos_token_id"],
    )


def run(
    artifact_location: str, prompt: str, max_new_tokens: int, temperature: float, top_k: int, seed: int
) -> Iterator[str]:
    """Pieces of the continuation as they come, the prompt not included. See `continue_text`."""
    generator = load(Folder(artifact_location).child("model"))
    prompt_ids = generator.tokenizer.encode(prompt, add_special_tokens=False).ids
    if generator.bos_id is not None:
        prompt_ids = [generator.bos_id, *prompt_ids]
    if not prompt_ids:
        raise DagError("the prompt is empty", expected="some text: this model's tokenizer has no token to begin with")
    return continue_text(generator, prompt_ids, max_new_tokens, temperature, top_k, seed)


def generate(model_folder: str, prompt: str, max_new_tokens: int, temperature: float, top_k: int, seed: int) -> str:
    """The continuation as one string; `model_folder` is the artifact's location."""
    return "".join(run(model_folder, prompt, max_new_tokens, temperature, top_k, seed))


def continue_text(
    generator: Generator, prompt_ids: Sequence[int], max_new_tokens: int, temperature: float, top_k: int, seed: int
) -> Iterator[str]:
    """Pieces that join up to the decoded continuation; a character whose bytes are split over tokens comes whole."""
    ids: list[int] = []
    emitted = ""
    for id in continue_ids(generator, prompt_ids, max_new_tokens, temperature, top_k, seed):
        ids.append(id)
        text = generator.tokenizer.decode(ids)
        if text.startswith(emitted) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            yield text[len(emitted) :]
            emitted = text
    yield generator.tokenizer.decode(ids)[len(emitted) :]


@torch.no_grad()
def continue_ids(
    generator: Generator, prompt_ids: Sequence[int], max_new_tokens: int, temperature: float, top_k: int, seed: int
) -> Iterator[int]:
    """New token ids, up to the end-of-text token, which is left out.

    `temperature` 0 takes the likeliest token; `top_k` 0 leaves all tokens in the draw. The model sees the last `length`
    tokens only, as many as it was trained on.
    """
    random = torch.Generator().manual_seed(seed)
    ids = list(prompt_ids)
    for _ in range(max_new_tokens):
        ids_BT = torch.tensor([ids[-generator.length :]])
        logits_V = generator.model(ids_BT, torch.zeros_like(ids_BT), torch.arange(ids_BT.shape[1])[None])[0, -1]
        next_id = _draw(logits_V, temperature, top_k, random)
        if next_id == generator.eot_id:
            return
        ids.append(next_id)
        yield next_id


def _draw(logits_V: torch.Tensor, temperature: float, top_k: int, random: torch.Generator) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k:
        least = logits_V.topk(min(top_k, len(logits_V))).values[-1]
        logits_V = logits_V.masked_fill(logits_V < least, -torch.inf)
    return int(torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=random))

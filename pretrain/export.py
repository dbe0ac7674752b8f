"""The trained model as a folder: Hugging Face's where transformers has the architecture, checked before it is offered.

Reads:  the weights a run gathered, the vocabulary's tokenizer.json, the tokenizer contract
Writes: config.json, generation_config.json, model.safetensors (over 5 GB: model-00001-of-0000N.safetensors and so on,
        with model.safetensors.index.json), tokenizer.json, tokenizer_config.json
Cost:   the model in memory three times: as trained, as read back, and as transformers reads it
Source: the file formats of transformers 4 and 5, which vLLM reads as well; see pretrain.hugging_face

A model of an architecture transformers has not (`refusal` says why) is written all the same, under names of its own, as
is one of 8-bit matrices: `read` and `load` open all three.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from pipeline.errors import DataError, RunError
from pipeline.store import Folder
from pretrain import hugging_face, quantise
from pretrain.hugging_face import refusal as refusal
from pretrain.model import Model, of_shape
from pretrain.shape import Shape

MAX_LOGIT_DIFFERENCE = 1e-4  # float32 sums in another order; a wrong architecture is off by far more
MAX_FILE_BYTES = 5_000_000_000  # as transformers and the hub have it
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CHECK_TOKENS = 64
GREEDY_TOKENS = 16
INT8 = {"bits": 8, "scales": "one per output channel", "kept": "norms, routers, learned positions"}


def write(
    folder: Path, weights: Mapping[str, Tensor], shape: Shape, contract: Mapping[str, Any], tokenizer: bytes,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> None:  # fmt: skip
    """Write the export into the local `folder`. `contract` is the tokens artifact's; `weights` as in pretrain.model."""
    length = contract["length"]
    if refusal(shape) is None:
        fields, named = hugging_face.config(shape, length), hugging_face.renamed(weights, shape)
    else:
        fields, named = hugging_face.own_config(shape, length), {n: t.contiguous() for n, t in weights.items()}
    _write_folder(folder, fields, named, contract, tokenizer, max_file_bytes)


def write_int8(
    folder: Path, weights: Mapping[str, Tensor], shape: Shape, contract: Mapping[str, Any], tokenizer: bytes,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> None:  # fmt: skip
    """As `write`, with 8-bit matrices, under our own names: transformers opens none without another package."""
    model = of_shape(shape)
    model.load_state_dict(dict(weights))
    fields = hugging_face.own_config(shape, contract["length"]) | {"quantised": INT8}
    _write_folder(folder, fields, quantise.stored(quantise.quantised(model)), contract, tokenizer, max_file_bytes)


def _write_folder(
    folder: Path, fields: Mapping[str, Any], named: Mapping[str, Tensor], contract: Mapping[str, Any],
    tokenizer: bytes, max_file_bytes: int,
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", {**fields, **_special_ids(contract)})
    _write_json(folder / "generation_config.json", _special_ids(contract))
    _write_weights(folder, named, max_file_bytes)
    (folder / "tokenizer.json").write_bytes(tokenizer)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(json.loads(tokenizer), contract))


def _write_weights(folder: Path, named: Mapping[str, Tensor], max_file_bytes: int) -> None:
    parts = list(_parts(named, max_file_bytes))
    metadata = {"format": "pt"}
    if len(parts) == 1:
        safetensors.torch.save_file(parts[0], folder / WEIGHTS, metadata=metadata)
        return
    file_of: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        safetensors.torch.save_file(part, folder / file, metadata=metadata)
        file_of |= dict.fromkeys(part, file)
    total = sum(tensor.nbytes for tensor in named.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": file_of})


def _parts(named: Mapping[str, Tensor], max_bytes: int) -> Iterator[dict[str, Tensor]]:
    """In order, each under the limit; a tensor over it is alone."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in named.items():
        if part and size + tensor.nbytes > max_bytes:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    yield part


def _special_ids(contract: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bos_token_id": contract.get("bos_id"),
        "eos_token_id": contract["eot_id"],
        "pad_token_id": contract.get("pad_id"),
    }


def _tokenizer_config(tokenizer: Mapping[str, Any], contract: Mapping[str, Any]) -> dict[str, Any]:
    text_of = {added["id"]: added["content"] for added in tokenizer["added_tokens"]}
    ids = {"bos_token": contract.get("bos_id"), "eos_token": contract["eot_id"], "pad_token": contract.get("pad_id")}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": contract["length"],
        "clean_up_tokenization_spaces": False,
        **{name: text_of[id] for name, id in ids.items() if id is not None},
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read(config: bytes, *weights: bytes) -> Model:
    """The model of an export, from its config.json and its safetensors file or files."""
    fields = json.loads(config)
    if fields["model_type"] not in (*hugging_face.CLASSES, hugging_face.OWN_TYPE):
        raise DataError(
            f"a model of type {fields['model_type']!r}", where="config.json",
            expected=f"{', '.join(hugging_face.CLASSES)} or {hugging_face.OWN_TYPE}, as this writes them",
        )  # fmt: skip
    shape = hugging_face.shape_of(fields)
    named = {name: tensor for data in weights for name, tensor in safetensors.torch.load(data).items()}
    try:
        if "quantised" in fields:
            return quantise.restored(shape, named)
        with torch.device("meta"):
            model = of_shape(shape)
        is_ours = fields["model_type"] == hugging_face.OWN_TYPE
        model.load_state_dict(named if is_ours else hugging_face.own_names(named, shape), assign=True)
    except RuntimeError as error:
        raise DataError(
            f"weights that are not those of its config.json ({error})", where=WEIGHTS,
            expected="the tensors this architecture has, in their shapes", mend="Run the step that wrote it again.",
        ) from error  # fmt: skip
    return model.eval()


def load(folder: Folder) -> Model:
    """The model in an export's folder. StoreError where a file of it is missing."""
    files = [WEIGHTS]
    if folder.exists(INDEX):
        files = sorted(set(json.loads(folder.read_bytes(INDEX))["weight_map"].values()))
    return read(folder.read_bytes("config.json"), *(folder.read_bytes(file) for file in files))


@torch.no_grad()
def check(folder: Path, ids_T: Tensor) -> float | None:
    """The largest difference between our logits and transformers' on the tokens `ids_T` (int64 [T]) and on the
    likeliest ones that follow.

    RunError where it is MAX_LOGIT_DIFFERENCE or more. None where there is nothing to compare with: transformers is not
    installed, or has no such architecture.
    """
    fields = json.loads((folder / "config.json").read_bytes())
    if fields["model_type"] == hugging_face.OWN_TYPE or importlib.util.find_spec("transformers") is None:
        return None
    import transformers

    transformers.utils.logging.disable_progress_bar()
    ours = load(Folder(str(folder)))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    theirs.eval()
    ids_BT = ids_T[None, :CHECK_TOKENS]
    difference = 0.0
    for _ in range(1 + GREEDY_TOKENS):
        segment_BT, position_BT = torch.zeros_like(ids_BT), torch.arange(ids_BT.shape[1])[None]
        ours_TV, theirs_TV = ours(ids_BT, segment_BT, position_BT)[0], theirs(ids_BT).logits[0]
        difference = max(difference, float((theirs_TV - ours_TV).abs().max()))
        if not difference < MAX_LOGIT_DIFFERENCE:
            raise RunError(
                f"transformers computes logits that differ by {difference:.3g}", where=str(folder),
                expected=f"less than {MAX_LOGIT_DIFFERENCE}",
            )  # fmt: skip
        ids_BT = torch.cat((ids_BT, theirs_TV[-1].argmax()[None, None]), dim=1)
    return difference

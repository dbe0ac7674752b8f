"""The same training steps with another library's model, in a process of its own that is told when to run.

usage: python pretrain_peer.py litgpt|transformers SETTINGS.json BATCHES.npz

SETTINGS: sizes and hyperparameters; BATCHES: `ids` and `targets`, int64 [steps, microbatches, B, T]. Prints a line
when it is ready; then, for each line on its input (a number of steps), a line with wall and CPU seconds. One thread,
float32, fused AdamW, clipping, targets as ours. Attention is causal over the whole row: neither keeps documents apart.

- litgpt: `litgpt.model.GPT` with Llama's settings and tied embeddings, and the loss of its own pretraining
- transformers: LlamaForCausalLM with SDPA
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
Loss = Callable[[Tensor, Tensor], Tensor]


def litgpt(s: dict[str, Any]) -> tuple[torch.nn.Module, Loss]:
    library, utils = importlib.import_module("litgpt"), importlib.import_module("litgpt.utils")
    config = library.Config(
        block_size=s["length"], padded_vocab_size=s["vocab_size"], vocab_size=s["vocab_size"],
        n_layer=s["num_layers"], n_head=s["num_heads"], n_query_groups=s["num_kv_heads"], n_embd=s["dim"],
        rotary_percentage=1.0, parallel_residual=False, bias=False, norm_class_name="RMSNorm", norm_eps=s["norm_eps"],
        mlp_class_name="LLaMAMLP", intermediate_size=s["ffn_dim"],
    )  # fmt: skip
    model = library.GPT(config)
    model.lm_head.weight = model.transformer.wte.weight

    def loss(ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        found: Tensor = utils.chunked_cross_entropy(model(ids_BT), target_BT, chunk_size=0, ignore_index=IGNORED)
        return found

    return model, loss


def transformers(s: dict[str, Any]) -> tuple[torch.nn.Module, Loss]:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=s["vocab_size"], hidden_size=s["dim"], intermediate_size=s["ffn_dim"], tie_word_embeddings=True,
        num_hidden_layers=s["num_layers"], num_attention_heads=s["num_heads"], num_key_value_heads=s["num_kv_heads"],
        max_position_embeddings=s["length"], rms_norm_eps=s["norm_eps"], attn_implementation="sdpa", use_cache=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)

    def loss(ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        return F.cross_entropy(model(ids_BT).logits.flatten(0, 1), target_BT.flatten(), ignore_index=IGNORED)

    return model, loss


def main() -> None:
    torch.set_num_threads(1)
    with open(sys.argv[2]) as file:
        settings = json.load(file)
    batches = np.load(sys.argv[3])
    ids, targets = (torch.from_numpy(batches[name]) for name in ("ids", "targets"))
    model, loss = {"litgpt": litgpt, "transformers": transformers}[sys.argv[1]](settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02) if parameter.ndim >= 2 else None
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    step = 0
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            for ids_BT, target_BT in zip(ids[step % len(ids)], targets[step % len(ids)], strict=True):
                (loss(ids_BT, target_BT) / ids.shape[1]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    main()

"""What a rank holds while it trains: by formula, before anything is allocated.

Reads:  a run's config
Writes: bytes
Cost:   -
Source: what autograd keeps of pretrain.model's blocks, operation by operation; Korthikanti et al. 2022 (activation
        checkpointing); FSDP2's layout (Zhao et al. 2023): a block's weights are gathered when it runs, with those of
        the next one, and the root's (embedding, last norm) stay gathered

Checked against runs in the tests (on CPU, within 10%). What a library keeps for itself is not in it: CUDA's context
and kernels (about 1 GB), NCCL's buffers, and what the allocator cannot use of what it holds (often a tenth).
`_..._numbers` are per token, `_..._bytes` as they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pretrain.config import Config
from pretrain.objective_config import Widths, widths
from pretrain.presets import num_parameters
from pretrain.shape import Shape

Device = Literal["cuda", "cpu"]
FP32 = 4
LOGIT_BYTES = 3 * FP32  # at the loss: the logarithms, their gradient, and that of the logits
QUERY_BLOCK = 128  # of attention on CPU: pretrain.attention
SEES_AHEAD = ("prefix", "ul2")  # objectives with positions that see later ones of their document


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one rank. `total` is less than their sum: not all of it is there at the same time."""

    parameters: int
    gradients: int
    optimizer: int
    average: int
    gathered: int
    """Weights and gradients that a sharded model has whole while a block runs."""
    activations: int
    """What the forward pass keeps for the backward pass."""
    recomputed: int
    """With activation checkpointing: what one block keeps once it was computed again."""
    logits: int
    total: int


def per_rank(cfg: Config, vocab_size: int, length: int, device: Device = "cuda") -> Memory:
    """Of packed rows of `length` tokens, made into examples as the objective says."""
    shape, parallel = cfg.model.shape(vocab_size), cfg.parallel
    shards = parallel.world_size // (parallel.replicas * parallel.tensor)
    is_sharded = shards > 1 or parallel.replicas > 1 or parallel.dtype != "fp32"
    adds_up = cfg.batch_rows > parallel.data_ranks * parallel.microbatch_rows
    matrices = _matrices_of_blocks(shape) // parallel.tensor
    held = num_parameters(cfg.model, vocab_size) - (parallel.tensor - 1) * matrices
    own = -(-held // shards)
    compute = 2 if parallel.dtype == "bf16" else FP32
    size = widths(cfg.objective, length, shape.architecture)
    kept, recomputed = _activations(cfg, shape, size, device, compute)
    gradients = FP32 * own  # also while microbatches add up: each scatters its own
    optimizer, average = FP32 * _optimizer_numbers(cfg, own, matrices // shards), FP32 * own * bool(cfg.average.decay)
    gathered = _gathered(shape, held, matrices, compute) if is_sharded else 0
    at_loss = (size.decoder or size.ids) * vocab_size * LOGIT_BYTES
    activations, again, logits = (round(parallel.microbatch_rows * part) for part in (kept, recomputed, at_loss))
    of_pass = activations + max(again, logits)  # the backward pass is done with the logits when it comes to a block
    total = FP32 * own + optimizer + average + gathered
    # gradients of the first microbatch take the place of activations as these go
    total += gradients + of_pass if adds_up else max(gradients, of_pass)
    return Memory(
        parameters=FP32 * own, gradients=gradients, optimizer=optimizer, average=average, gathered=gathered,
        activations=activations, recomputed=again, logits=logits, total=total,
    )  # fmt: skip


def _matrices_of_blocks(shape: Shape) -> int:
    """Numbers in the matrices that tensor parallelism divides: those of attention and feed-forward."""
    attention = 2 * shape.dim * shape.dim + 2 * shape.dim * shape.kv_dim
    one = (3 if shape.feed_forward == "swiglu" else 2) * shape.dim * shape.ffn_dim
    num_blocks = shape.num_layers + shape.num_encoder_layers
    cross = shape.num_layers * attention if shape.num_encoder_layers else 0
    return num_blocks * (attention + max(1, shape.num_experts) * one) + cross


def _optimizer_numbers(cfg: Config, own: int, own_matrices: int) -> int:
    """Two moments of every parameter; of Muon's matrices one."""
    return 2 * own - (own_matrices if cfg.optimizer.kind == "muon" else 0)


def _gathered(shape: Shape, held: int, matrices: int, compute: int) -> int:
    """The root's weights and their gradient, and two blocks' weights with one's gradient."""
    num_blocks = shape.num_layers + shape.num_encoder_layers
    return 2 * compute * (held - matrices) + 3 * compute * (matrices // num_blocks)


def _activations(cfg: Config, shape: Shape, size: Widths, device: Device, compute: int) -> tuple[float, float]:
    """(bytes per row that all blocks keep, bytes of the largest block, if it is computed again)."""
    way, tensor = cfg.parallel.activation_checkpointing, cfg.parallel.tensor
    read, written = size.ids, size.decoder or size.ids
    own = compute * _block_numbers(shape, tensor, device)
    is_causal = shape.architecture != "encoder" and cfg.objective.kind not in SEES_AHEAD
    block = written * (own + _mask_bytes(written, device, compute, is_causal))
    encoder_block = 0.0
    if shape.num_encoder_layers:
        block = written * (own + _mask_bytes(written, device, compute, True))  # what it sees ahead is in the encoder
        block += written * (compute * (_attention_numbers(shape, tensor, device) - 2 * shape.kv_dim / tensor))
        block += written * _mask_bytes(read, device, compute, False) + read * compute * 2 * shape.kv_dim / tensor
        encoder_block = read * (own + _mask_bytes(read, device, compute, False))
    norms = compute * _norm_numbers(shape, device) * (written + (read if shape.num_encoder_layers else 0))
    if way == "none":
        return shape.num_layers * block + shape.num_encoder_layers * encoder_block + norms, 0.0
    kept = compute * (shape.dim + (_product_numbers(shape, tensor) if way == "selective" else 0))
    return kept * (shape.num_layers * written + shape.num_encoder_layers * read) + norms, max(block, encoder_block)


def _norm_numbers(shape: Shape, device: Device) -> int:
    """What it reads and what it gives; RMSNorm on CPU, for want of one kernel, also what it has before its gain."""
    return (3 if device == "cpu" and shape.norm == "rmsnorm" else 2) * shape.dim


def _attention_numbers(shape: Shape, tensor: int, device: Device) -> float:
    """Norm, queries, keys, values, what attention gives; on CPU that twice: in blocks of queries, and put together."""
    given = 2 if device == "cpu" else 1
    heads = (1 + given) * shape.dim + 2 * shape.kv_dim
    if shape.qk_norm:
        heads += (2 if device == "cpu" else 1) * (shape.dim + shape.kv_dim)
    return _norm_numbers(shape, device) + heads / tensor


def _block_numbers(shape: Shape, tensor: int, device: Device) -> float:
    picked = shape.experts_per_token if shape.num_experts else 1
    inner = (4 if shape.feed_forward == "swiglu" else 2) * shape.ffn_dim * picked / tensor
    routed = 3 * picked * shape.dim if shape.num_experts else 0
    dropped = 2 * shape.dim if shape.dropout else 0
    return _attention_numbers(shape, tensor, device) + _norm_numbers(shape, device) + inner + routed + dropped


def _product_numbers(shape: Shape, tensor: int) -> float:
    """What matrix products and attention give, which selective checkpointing keeps."""
    attention = (2 * shape.dim + 2 * shape.kv_dim) / tensor + shape.dim
    inner = (2 if shape.feed_forward == "swiglu" else 1) * shape.ffn_dim / tensor
    return attention + inner + shape.dim


def _mask_bytes(num_keys: int, device: Device, compute: int, is_causal: bool) -> float:
    """Per query, of attention under a mask, which every block makes into numbers anew. Causal attention has none in
    bf16 on a GPU, and half of it on CPU, where it goes by blocks of queries."""
    if is_causal and device == "cpu":
        return FP32 * (num_keys + min(QUERY_BLOCK, num_keys)) / 2
    return 0.0 if is_causal and compute == 2 else float(compute * num_keys)

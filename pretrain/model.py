"""Transformers over packed rows: a decoder, an encoder, or both, from the same blocks. The default is Llama's.

Reads:  token ids with the segment each position belongs to, and its place in that segment
Writes: logits
Cost:   2 * parameters + 4 * num_layers * T * dim operations per token forward, three times that to train: exactly as
        pretrain.presets says
Source: Touvron et al. 2023; pre-norm: Xiong et al. 2020; RMSNorm: Zhang and Sennrich 2019; LayerNorm: Ba et al.
        2016; grouped-query attention: Ainslie et al. 2023; tied embeddings: Press and Wolf 2017; norms of queries and
        keys: Dehghani et al. 2023; encoder and decoder: Raffel et al. 2020

Shapes: B rows, T positions, S positions of a decoder that reads an encoder, C dim, H query heads, K key/value heads,
D width of a head, V vocabulary. Parameters are named as in transformers, without the prefix `model.`.
Dropout draws from torch's own random state, so a run that restores it repeats itself.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain import attention, positions
from pretrain.attention import Attend, Cache, Past
from pretrain.feed_forward import Experts, FeedForward
from pretrain.model_config import ModelConfig
from pretrain.positions import Rotation
from pretrain.shape import Shape

INIT_STD = 0.02  # GPT-2's


def make_norm(shape: Shape) -> nn.Module:
    if shape.norm == "layernorm":
        return nn.LayerNorm(shape.dim, shape.norm_eps, bias=False)
    return nn.RMSNorm(shape.dim, shape.norm_eps)


class Attention(nn.Module):
    """Grouped-query attention, to the positions themselves or to what an encoder made of others (`memory`)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.q_proj = nn.Linear(shape.dim, shape.dim, bias=False)
        self.k_proj = nn.Linear(shape.dim, shape.kv_dim, bias=False)
        self.v_proj = nn.Linear(shape.dim, shape.kv_dim, bias=False)
        self.o_proj = nn.Linear(shape.dim, shape.dim, bias=False)
        self.q_norm = nn.RMSNorm(shape.head_dim, shape.norm_eps) if shape.qk_norm else None
        self.k_norm = nn.RMSNorm(shape.head_dim, shape.norm_eps) if shape.qk_norm else None

    def forward(
        self, x_BTC: Tensor, rotation: Rotation | None, attend: Attend, past: Past | None = None,
        memory_BSC: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        source = x_BTC if memory_BSC is None else memory_BSC
        # -1, not the number of heads: with tensor parallelism a rank has some of them
        q_BTHD = self.q_proj(x_BTC).unflatten(-1, (-1, self.head_dim))
        k_BSKD = self.k_proj(source).unflatten(-1, (-1, self.head_dim))
        v_BSKD = self.v_proj(source).unflatten(-1, (-1, self.head_dim))
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHD, k_BSKD = self.q_norm(q_BTHD), self.k_norm(k_BSKD)
        if rotation is not None:
            q_BTHD, k_BSKD = positions.rotate(q_BTHD, rotation), positions.rotate(k_BSKD, rotation)
        if past is not None:
            k_BSKD, v_BSKD = past.extend(k_BSKD, v_BSKD)
        found: Tensor = self.o_proj(attend(q_BTHD, k_BSKD, v_BSKD).flatten(2))
        return found


class Block(nn.Module):
    """Attention, then (where it reads an encoder) cross attention, then feed-forward; each behind a norm, and added to
    the residual stream."""

    def __init__(self, shape: Shape, reads_encoder: bool = False) -> None:
        super().__init__()
        self.dropout = shape.dropout
        self.input_layernorm = make_norm(shape)
        self.self_attn = Attention(shape)
        self.cross_attention_layernorm = make_norm(shape) if reads_encoder else None
        self.cross_attn = Attention(shape) if reads_encoder else None
        self.post_attention_layernorm = make_norm(shape)
        self.mlp = Experts(shape) if shape.num_experts else FeedForward(shape)

    def forward(
        self, x_BTC: Tensor, rotation: Rotation | None, attend: Attend, past: Past | None = None,
        memory_BSC: Tensor | None = None, attend_memory: Attend | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """The residual stream, and how unequally experts were used: returned and not kept, so that the gradient of both
        comes in at the block's end, where weights are gathered."""
        x_BTC = x_BTC + self._dropped(self.self_attn(self.input_layernorm(x_BTC), rotation, attend, past))
        if self.cross_attn is not None and self.cross_attention_layernorm is not None:
            assert memory_BSC is not None
            assert attend_memory is not None
            normed_BTC = self.cross_attention_layernorm(x_BTC)
            x_BTC = x_BTC + self._dropped(self.cross_attn(normed_BTC, None, attend_memory, None, memory_BSC))
        added_BTC, balance = self.mlp(self.post_attention_layernorm(x_BTC))
        return x_BTC + self._dropped(added_BTC), balance

    def _dropped(self, x_BTC: Tensor) -> Tensor:
        return F.dropout(x_BTC, self.dropout, self.training) if self.dropout else x_BTC


class Transformer(nn.Module):
    """A decoder, or (`architecture: encoder`) an encoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.dim)
        learned = shape.positions == "learned"
        self.embed_positions = nn.Embedding(shape.max_positions, shape.dim) if learned else None
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = make_norm(shape)
        self.lm_head = None if shape.tie_embeddings else nn.Linear(shape.dim, shape.vocab_size, bias=False)
        self.balances: list[Tensor] = []

    def forward(
        self, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor, prefix_BT: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits [B, T, V] of the token after each position; an encoder's: of the token at each position.

        A position sees its own segment only: a decoder's what is not later, and what `prefix_BT` (bool) marks; an
        encoder's all of it. `position_BT` counts from 0 in every segment. All but `prefix_BT` are int64. With a cache
        the tokens are those that follow the ones before.
        """
        causal = self.shape.architecture == "decoder"
        x_BTC = embed(self, ids_BT, position_BT)
        rotation = rotation_of(self.shape, position_BT, x_BTC.dtype)
        if cache is None:
            attend = attention.choose(segment_BT, causal, prefix_BT, x_BTC.dtype, self.shape.head_dim)
        else:
            assert causal, "an encoder sees what comes later: it has no cache"
            attend = cache.admit(segment_BT, prefix_BT)
        self.balances = []
        for number, layer in enumerate(self.layers):
            x_BTC, balance = layer(x_BTC, rotation, attend, cache and cache.block(number))
            self.balances += [] if balance is None else [balance]
        return logits(self, self.norm(x_BTC))

    def blocks(self) -> list[nn.Module]:
        """In the order they run: what is sharded, checkpointed and compiled one by one."""
        return list(self.layers)

    def auxiliary_loss(self) -> Tensor:
        """The last forward pass's imbalance of experts, weighted, to add to its mean loss; 0 without experts."""
        return auxiliary_loss(self, self.balances)

    def new_cache(self, num_rows: int, length: int) -> Cache:
        """Room for `length` tokens in each row."""
        return new_cache(self, num_rows, length)


class EncoderDecoder(nn.Module):
    """An encoder, and a decoder whose positions see all of what the encoder made of the same segment."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.dim)
        learned = shape.positions == "learned"
        self.embed_positions = nn.Embedding(shape.max_positions, shape.dim) if learned else None
        self.encoder_layers = nn.ModuleList(Block(shape) for _ in range(shape.num_encoder_layers))
        self.encoder_norm = make_norm(shape)
        self.layers = nn.ModuleList(Block(shape, reads_encoder=True) for _ in range(shape.num_layers))
        self.norm = make_norm(shape)
        self.lm_head = None if shape.tie_embeddings else nn.Linear(shape.dim, shape.vocab_size, bias=False)
        self.balances: list[Tensor] = []

    def forward(
        self, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor,
        decoder_ids_BS: Tensor, decoder_segment_BS: Tensor, decoder_position_BS: Tensor,
    ) -> Tensor:  # fmt: skip
        """Logits [B, S, V] of the token after each of the decoder's positions. All six are int64."""
        memory_BTC = self.encode(ids_BT, segment_BT, position_BT)
        return self.decode(memory_BTC, segment_BT, decoder_ids_BS, decoder_segment_BS, decoder_position_BS)

    def encode(self, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor) -> Tensor:
        """What the decoder reads, [B, T, C]."""
        x_BTC = embed(self, ids_BT, position_BT)
        rotation = rotation_of(self.shape, position_BT, x_BTC.dtype)
        attend = attention.choose(segment_BT, False, None, x_BTC.dtype, self.shape.head_dim)
        self.balances = []
        for layer in self.encoder_layers:
            x_BTC, balance = layer(x_BTC, rotation, attend)
            self.balances += [] if balance is None else [balance]
        normed: Tensor = self.encoder_norm(x_BTC)
        return normed

    def decode(
        self, memory_BTC: Tensor, segment_BT: Tensor, decoder_ids_BS: Tensor, decoder_segment_BS: Tensor,
        decoder_position_BS: Tensor, cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits [B, S, V]; with a cache the decoder's tokens are those that follow the ones before."""
        x_BSC = embed(self, decoder_ids_BS, decoder_position_BS)
        rotation = rotation_of(self.shape, decoder_position_BS, x_BSC.dtype)
        attend_memory = attention.UnderMask(attention.visible_across(decoder_segment_BS, segment_BT))
        if cache is None:
            attend = attention.choose(decoder_segment_BS, True, None, x_BSC.dtype, self.shape.head_dim)
        else:
            attend = cache.admit(decoder_segment_BS, None)
        for number, layer in enumerate(self.layers):
            past = cache and cache.block(number)
            x_BSC, balance = layer(x_BSC, rotation, attend, past, memory_BTC, attend_memory)
            self.balances += [] if balance is None else [balance]
        return logits(self, self.norm(x_BSC))

    def blocks(self) -> list[nn.Module]:
        """The encoder's, then the decoder's."""
        return [*self.encoder_layers, *self.layers]

    def auxiliary_loss(self) -> Tensor:
        """As Transformer's."""
        return auxiliary_loss(self, self.balances)

    def new_cache(self, num_rows: int, length: int) -> Cache:
        """Room for `length` of the decoder's tokens in each row."""
        return new_cache(self, num_rows, length)


Model = Transformer | EncoderDecoder


def build(cfg: ModelConfig, vocab_size: int) -> Model:
    """With torch's own random weights; `initialise` gives those to train from."""
    return of_shape(cfg.shape(vocab_size))


def of_shape(shape: Shape) -> Model:
    return EncoderDecoder(shape) if shape.architecture == "encoder_decoder" else Transformer(shape)


def embed(model: Model, ids_BT: Tensor, position_BT: Tensor) -> Tensor:
    """The residual stream at its beginning, [B, T, C]."""
    shape = model.shape
    x_BTC: Tensor = model.embed_tokens(ids_BT)
    if model.embed_positions is not None:
        x_BTC = x_BTC + model.embed_positions(position_BT)
    elif shape.positions == "sinusoidal":  # waves are as high as 1, embeddings start at 0.02: so Vaswani et al. scale
        x_BTC = x_BTC * math.sqrt(shape.dim) + positions.waves(position_BT, shape.dim).to(x_BTC.dtype)
    return F.dropout(x_BTC, shape.dropout, model.training) if shape.dropout else x_BTC


def rotation_of(shape: Shape, position_BT: Tensor, dtype: torch.dtype) -> Rotation | None:
    if shape.positions != "rope":
        return None
    return positions.rotation(position_BT, shape.head_dim, shape.rope_theta, dtype)


def logits(model: Model, x_BTC: Tensor) -> Tensor:
    if model.lm_head is not None:
        found: Tensor = model.lm_head(x_BTC)
        return found
    return F.linear(x_BTC, model.embed_tokens.weight)


def auxiliary_loss(model: Model, balances: list[Tensor]) -> Tensor:
    if not balances:
        return torch.zeros((), device=next(model.norm.parameters()).device)
    return model.shape.balance_weight * torch.stack(balances).mean()


def new_cache(model: Model, num_rows: int, length: int) -> Cache:
    shape = model.shape
    heads = (shape.num_kv_heads, shape.head_dim)
    return Cache(shape.num_layers, num_rows, length, heads, next(model.norm.parameters()).detach())


def initialise(model: Model, seed: int) -> None:
    """Normal weights of deviation 0.02; what writes into the residual stream is scaled by 1 / sqrt(2 * num_layers).

    The same weights whatever the number of ranks. Source: GPT-2 (Radford et al. 2019, section 2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    residual_std = INIT_STD / math.sqrt(2 * model.shape.num_layers)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue  # norm gains stay 1
        into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        nn.init.normal_(parameter, std=residual_std if into_residual else INIT_STD, generator=generator)


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

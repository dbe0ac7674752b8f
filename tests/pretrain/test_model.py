from __future__ import annotations

import math

import pytest
import torch
import transformers

from pretrain.model import INIT_STD, Shape, Transformer, initialise, num_parameters, segment_mask

SHAPE = Shape(
    vocab_size=97, dim=48, num_layers=3, num_heads=6, num_kv_heads=2, ffn_dim=80, rope_theta=5000.0, norm_eps=1e-5
)


def random_model(shape: Shape = SHAPE) -> Transformer:
    model = Transformer(shape).eval()
    torch.manual_seed(3)
    for parameter in model.parameters():  # gains too: gains of 1 would hide a missing one
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def llama(model: Transformer) -> transformers.LlamaForCausalLM:
    shape = model.shape
    config = transformers.LlamaConfig(
        vocab_size=shape.vocab_size, hidden_size=shape.dim, intermediate_size=shape.ffn_dim,
        num_hidden_layers=shape.num_layers, num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads, rms_norm_eps=shape.norm_eps, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
    )  # fmt: skip
    peer = transformers.LlamaForCausalLM(config).eval()
    missing, unexpected = peer.load_state_dict(
        {f"model.{name}": tensor for name, tensor in model.state_dict().items()}, strict=False
    )
    assert missing in ([], ["lm_head.weight"])
    assert unexpected == []
    return peer


def logits(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    return model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1]).expand_as(ids))


@torch.no_grad()
def test_logits_with_random_weights_equal_transformers_llama() -> None:
    model = random_model()
    ids = torch.randint(0, SHAPE.vocab_size, (2, 70), generator=torch.Generator().manual_seed(1))
    theirs = llama(model)(ids).logits
    assert theirs.std() > 0.5  # the comparison is of logits that vary
    torch.testing.assert_close(logits(model, ids), theirs, atol=1e-4, rtol=0)


@torch.no_grad()
def test_logits_of_packed_documents_equal_each_document_alone() -> None:
    model = random_model()
    random = torch.Generator().manual_seed(2)
    documents = [torch.randint(0, SHAPE.vocab_size, (n,), generator=random) for n in (5, 1, 17, 9)]
    row = torch.cat(documents)[None]
    segment = torch.cat([torch.full((len(d),), i) for i, d in enumerate(documents)])[None]
    position = torch.cat([torch.arange(len(d)) for d in documents])[None]
    alone = torch.cat([logits(model, d[None])[0] for d in documents])
    torch.testing.assert_close(model(row, segment, position)[0], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_logits_after_a_change_differ_only_from_that_position_of_its_segment_on() -> None:
    model = random_model()
    ids = torch.arange(30)[None]
    segment = torch.tensor([0] * 12 + [1] * 18)[None]
    position = torch.cat([torch.arange(12), torch.arange(18)])[None]
    changed = ids.clone()
    changed[0, 7] = 90
    differs = (model(ids, segment, position) != model(changed, segment, position)).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == list(range(7, 12))


def test_segment_mask_by_brute_force_is_same_segment_and_not_later() -> None:
    segment = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 2, 2, 2, 2]])
    mask = segment_mask(segment)
    assert mask.shape == (2, 1, 6, 6)
    for b in range(2):
        for q in range(6):
            for k in range(6):
                assert bool(mask[b, 0, q, k]) == (k <= q and bool(segment[b, k] == segment[b, q]))


def test_initialise_same_seed_gives_same_weights_of_the_stated_deviation() -> None:
    first, second, third = (Transformer(SHAPE) for _ in range(3))
    initialise(first, 1)
    torch.rand(3)  # the global random state plays no part
    initialise(second, 1)
    initialise(third, 2)
    weights, again, others = (list(m.parameters()) for m in (first, second, third))
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    assert not torch.equal(weights[0], others[0])
    assert first.embed_tokens.weight.std().item() == pytest.approx(INIT_STD, rel=0.05)
    down = torch.cat([layer.mlp.down_proj.weight.flatten() for layer in first.layers])
    assert down.std().item() == pytest.approx(INIT_STD / math.sqrt(2 * SHAPE.num_layers), rel=0.05)
    assert first.norm.weight.tolist() == [1.0] * SHAPE.dim


def test_num_parameters_counts_the_tied_matrix_once() -> None:
    model = random_model()
    assert num_parameters(model) == llama(model).num_parameters()

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from pretrain import attention
from pretrain.attention import InQueryBlocks, UnderMask, WithinDocuments, choose, visible

pytestmark = pytest.mark.usefixtures("one_thread")


def random_heads(length: int, heads: int, kv_heads: int, device: str = "cpu") -> list[Tensor]:
    random = torch.Generator().manual_seed(length)
    shapes = ((2, length, heads, 16), (2, length, kv_heads, 16), (2, length, kv_heads, 16))
    return [torch.randn(shape, generator=random).to(device).requires_grad_() for shape in shapes]


def segments(length: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return (torch.rand((2, length), generator=random) < 0.02).cumsum(1)


def by_hand(q_BTHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor, segment_BT: Tensor, causal: bool) -> Tensor:
    """In float64, a query and head at a time."""
    q, k, v = (x.detach().double() for x in (q_BTHD, k_BSKD, v_BSKD))
    out = torch.zeros_like(q)
    group = q.shape[2] // k.shape[2]
    for b, t, h in itertools.product(*map(range, q.shape[:3])):
        sees = segment_BT[b] == segment_BT[b, t]
        if causal:
            sees = sees & (torch.arange(len(sees)) <= t)
        weights = (k[b, sees, h // group] @ q[b, t, h] / q.shape[-1] ** 0.5).softmax(0)
        out[b, t, h] = weights @ v[b, sees, h // group]
    return out


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (3, 1)])
def test_attention_under_a_mask_equals_a_computation_by_hand(heads: tuple[int, int], causal: bool) -> None:
    q, k, v = random_heads(40, *heads)
    segment = segments(40)
    found = UnderMask(visible(segment, causal))(q, k, v)
    torch.testing.assert_close(found.double(), by_hand(q, k, v, segment, causal), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [129, 256, 300])
def test_attention_in_query_blocks_and_its_gradients_equal_the_reference(length: int) -> None:
    segment = segments(length)
    attend = choose(segment, True, None, torch.float32, 16)
    assert isinstance(attend, InQueryBlocks)
    blocked, whole = random_heads(length, 4, 2), random_heads(length, 4, 2)
    found, expected = attend(*blocked), UnderMask(visible(segment, True))(*whole)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in zip(blocked, whole, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-5)


def test_visible_by_brute_force_is_same_segment_and_not_later_or_in_the_prefix() -> None:
    segment = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 2, 2, 2, 2]])
    prefix = torch.tensor([[0, 1, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0]]).bool()
    masks = [visible(segment, True), visible(segment, True, prefix), visible(segment, False)]
    for b, q, k in itertools.product(range(2), range(6), range(6)):
        same = bool(segment[b, k] == segment[b, q])
        assert bool(masks[0][b, 0, q, k]) == (same and k <= q)
        assert bool(masks[1][b, 0, q, k]) == (same and (k <= q or bool(prefix[b, k])))
        assert bool(masks[2][b, 0, q, k]) == same


def test_attention_of_a_query_that_sees_nothing_is_zero_and_so_are_its_gradients() -> None:
    q, k, v = random_heads(6, 2, 2)
    mask = visible(segments(6), True).clone()
    mask[:, :, 3] = False
    found = UnderMask(mask)(q, k, v)
    found.sum().backward()
    assert not found[:, 3].any()
    assert q.grad is not None and not q.grad[:, 3].any()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (q, k, v))


def test_within_documents_knows_where_each_document_starts_over_all_rows() -> None:
    segment = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 2]])
    attend = attention.within_documents(segment, True)
    assert attend.start_N.tolist() == [0, 2, 4, 5, 6, 8]
    assert attend.start_N.dtype == torch.int32


@pytest.mark.skipif(
    not attention.has_varlen("cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16, 16),
    reason="no kernel for documents of any length on this device",
)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_attention_within_documents_and_its_gradients_equal_the_reference(heads: tuple[int, int], causal: bool) -> None:
    segment = segments(300).cuda()
    attend = choose(segment, causal, None, torch.bfloat16, 16)
    assert isinstance(attend, WithinDocuments)
    half, whole = random_heads(300, *heads, device="cuda"), random_heads(300, *heads, device="cuda")
    found = attend(*(x.bfloat16() for x in half)).float()
    expected = UnderMask(visible(segment, causal))(*whole)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)
    found.sum().backward()
    expected.sum().backward()
    for a, b in zip(half, whole, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=5e-2, rtol=5e-2)

"""Small convolutions are those of torch: same parameters, same results, same gradients, alone and stacked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit import smallconv
from labkit.arms import Arms

LAYERS = [
    ("Conv2d", (1, 5, 4, 2, 1), 8),
    ("Conv2d", (3, 2, 3, 1, 1), 5),
    ("Conv2d", (2, 4, 2), 2),
    ("ConvTranspose2d", (7, 3, 2), 1),
    ("ConvTranspose2d", (2, 3, 4, 2, 1), 4),
    ("ConvTranspose2d", (3, 1, 3, 1, 1), 6),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "sizes", "side"), LAYERS)
def test_gives_what_torch_gives_and_the_same_gradients(kind, sizes, side, bias):
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(*sizes, bias=bias).double()
    mine = getattr(smallconv, kind)(*sizes, bias=bias).double()
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(3, sizes[0], side, side, dtype=torch.float64, requires_grad=True)
    want, got = theirs(x), mine(x)
    assert got.shape == want.shape and torch.allclose(got, want, atol=1e-12)
    push = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad((got * push).sum(), [x, *mine.parameters()]),
        torch.autograd.grad((want * push).sum(), [x, *theirs.parameters()]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-12)


def test_is_stacked_like_any_layer_and_starts_from_the_same_weights():
    x = torch.randn(2, 1, 4, 1, 8, 8)
    mine = Arms(lambda: smallconv.Conv2d(1, 3, 4, 2, 1), arms=2, seeds=(0, 1))(x)
    theirs = Arms(lambda: nn.Conv2d(1, 3, 4, 2, 1), arms=2, seeds=(0, 1), one_by_one=True)(x)
    assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (smallconv.Conv2d(1, 1, 3), (1, 1, 4, 6)),
        (smallconv.Conv2d(1, 1, (3, 2)), (1, 1, 4, 4)),
        (smallconv.Conv2d(2, 2, 3, groups=2), (1, 2, 4, 4)),
        (smallconv.Conv2d(1, 1, 2, dilation=2), (1, 1, 4, 4)),
        (smallconv.Conv2d(1, 1, 3, padding="same"), (1, 1, 4, 4)),
        (smallconv.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (1, 1, 4, 4)),
        (smallconv.ConvTranspose2d(1, 1, 3, stride=2, output_padding=1), (1, 1, 4, 4)),
        (smallconv.Conv2d(4, 1, 3), (4, 4, 4)),
        (smallconv.ConvTranspose2d(4, 1, 3), (4, 4, 4)),
        (smallconv.Conv2d(1, 1, 3), (1, 1, 1, 4, 4)),
        (smallconv.Conv2d(1, 1, 3), (4,)),
    ],
)
def test_refuses_what_it_does_not_compute(layer, shape):
    with pytest.raises(ValueError, match="smallconv"):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_a_first_call_in_inference_mode_does_not_spoil_a_later_backward(kind):
    smallconv._taps.cache_clear()
    layer = getattr(smallconv, kind)(1, 1, 3)
    with torch.inference_mode():
        want = layer(torch.ones(1, 1, 5, 5))
    out = layer(torch.ones(1, 1, 5, 5))
    out.sum().backward()
    assert torch.equal(out, want) and layer.weight.grad.abs().sum() > 0

"""Checks of lab 03: a discriminator that judges whether an image and a condition belong together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.arms import Arms
from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes
from labkit.machine import local_seed

_SIZES = "the first layers take their sizes from pixels and conditions, and each later one from what comes out before it"
_BATCH = "joined along the batch: dim=-1 puts what belongs to one image side by side"
_VMAP = "in `Arms` each net runs under torch.func.vmap: no .item(), no `if` on values, nothing in place"
_SUM = (
    "the logit is one part for x plus another for c, so no pair of the two can be called a mismatch: join them first, "
    "then a hidden layer with a LeakyReLU, then the logit"
)


def ConditionalDiscriminator(function: Callable[..., Any]) -> None:
    """Check `ConditionalDiscriminator(pixels, conditions, width)`: net(x (B, pixels), c (B, conditions)) -> logits (B,).

    Each row of c is a class (one-hot) or several attributes (0 or 1 each), in float32.

    Source: Mirza and Osindero 2014, arXiv:1411.1784.
    """

    def build(f: Callable[..., Any], seed: int = 0) -> nn.Module:
        takes(f, "pixels", "conditions", "width")
        with local_seed(seed):
            net = f(6, 3, 8)
        if not isinstance(net, nn.Module):
            raise Mistake("an nn.Module", type(net).__name__, "write a class that inherits from nn.Module")
        return net

    def judge(net: nn.Module, x: Tensor, c: Tensor) -> Tensor:
        """Logits, with the same noise (dropout, say) in every call."""
        try:
            with local_seed(99):
                out = net(x, c)
        except RuntimeError as error:
            rows = re.search(r"multiplied \((\d+)x", str(error))
            if "must match except in dimension 0" in str(error) or (rows and int(rows[1]) == 2 * len(x)):
                raise Mistake(f"logits for x {tuple(x.shape)} and c {tuple(c.shape)}", str(error), _BATCH) from None
            if "shapes cannot be multiplied" in str(error) or "must match" in str(error):
                raise Mistake(f"logits for x {tuple(x.shape)} and c {tuple(c.shape)}", str(error), _SIZES) from None
            raise
        if not isinstance(out, Tensor):
            raise Mistake("a tensor", type(out).__name__, "forward has no return statement" if out is None else "")
        b = len(x)
        if tuple(out.shape) != (b,):
            raise Mistake(f"logits of shape ({b},)", f"shape {tuple(out.shape)}", {
                (b, 1): "the last layer has one output: take its dimension away, .squeeze(-1)",
                (2 * b,): _BATCH,
                (2 * b, 1): _BATCH,
                (): "squeeze() without a dimension takes every 1 away, or the images were averaged: squeeze(-1) and no mean",
            }.get(tuple(out.shape), "one logit an image"))  # fmt: skip
        return out

    def data(b: int, seed: int) -> tuple[Tensor, Tensor]:
        x = 2 * draw(b, 6, seed=seed).float()
        return x, torch.eye(3)[torch.arange(b) % 3]

    codes = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.float32)

    def table(net: nn.Module, x: Tensor) -> Tensor:
        """Logits of every image under every code, (images, 7)."""
        with torch.no_grad():
            flat = judge(net, x.repeat_interleave(len(codes), 0), codes.repeat(len(x), 1))
        return flat.reshape(len(x), len(codes))

    def has_forward(f: Callable[..., Any]) -> None:
        build(f)  # a blank exercise is told so first
        raise Mistake("a method `forward`", "a class without one", "write forward(self, x, c), indented as far as __init__")

    def shapes(f: Callable[..., Any]) -> None:
        net = build(f)
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in net.modules()):
            raise Mistake("no batch norm", "a batch norm", "it makes each logit depend on the other images of the batch")
        for b in (5, 1):
            judge(net, *data(b, seed=100))

    def reacts_to_x(f: Callable[..., Any]) -> None:
        if float(table(build(f), data(32, seed=102)[0]).std(0).max()) < 1e-6:
            raise Mistake("other logits for other images", "the same", "x is not used: give it to a layer as well")

    def reacts_to_c(f: Callable[..., Any]) -> None:
        logits = torch.cat([table(build(f, seed), data(32, seed=104)[0]) for seed in range(3)])
        apart = (logits[:, :, None] - logits[:, None]).abs().amax(0)  # (7, 7): how far each pair of codes is told apart
        if float(apart.max()) < 1e-6:
            raise Mistake("other logits for other conditions", "the same",
                          "c is not used: give it to a layer as well")  # fmt: skip
        for i, j in torch.combinations(torch.arange(len(codes))).tolist():
            if float(apart[i, j]) < 1e-6:
                raise Mistake(f"other logits for c = {codes[j].int().tolist()} than for {codes[i].int().tolist()}", "the same",
                              "c was made into one number (argmax, sum): give the whole vector to a linear layer, "
                              "since several attributes may be 1")  # fmt: skip

    def interaction(f: Callable[..., Any]) -> None:
        """Logits are no sum of a function of x and a function of c."""
        for seed in range(3):
            logits = table(build(f, seed), 3 * data(64, seed=106)[0]).double()
            rest = logits - logits.mean(0) - logits.mean(1, keepdim=True) + logits.mean()
            if min(float(logits.std(0).max()), float(logits.std(1).max())) < 1e-6:
                raise Mistake("logits that depend on x and on c", "logits that depend on one of them at most", "")
            if float(rest.abs().max()) > 1e-4 * float(logits.std()):
                return
        raise Mistake("an effect of c that depends on the image", "the same effect for every image", _SUM)

    def raw(f: Callable[..., Any]) -> None:
        x = 1000 * data(64, seed=108)[0]
        logits = torch.cat([table(build(f, seed), x) for seed in range(8)])
        low, high = float(logits.min()), float(logits.max())
        if float(logits.unflatten(0, (8, 64)).std(1).max()) < 1e-6:
            return  # x is not used, which has a case of its own
        for name, wrong in (("a sigmoid at the end", low >= 0 and high <= 1), ("a tanh at the end", low >= -1 and high <= 1),
                            ("a logarithm of the sigmoid at the end", high <= 1e-6),
                            ("a ReLU at the end", low >= 0)):  # fmt: skip
            if wrong:
                raise Mistake("raw logits, of any size and sign", f"values between {low:.3g} and {high:.3g}",
                              f"{name}: leave it out, the losses take logits")  # fmt: skip

    def own_row(f: Callable[..., Any]) -> None:
        net = build(f)
        x, c = data(6, seed=110)
        others = torch.cat([x[:2], 3 * x[2:] + 1]), torch.cat([c[:2], c[2:].flip(0)])
        with torch.no_grad():
            before, after = judge(net, x, c)[:2], judge(net, *others)[:2]
        if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
            raise Mistake("a logit that depends on its own image and condition", "one that changes with the rest of the batch",
                          "something runs over the batch: a batch norm, a softmax or a mean over dimension 0")  # fmt: skip

    def trained(f: Callable[..., Any]) -> None:
        net = build(f)
        parameters = dict(net.named_parameters())
        logits = judge(net, *data(6, seed=112))
        if not parameters or not logits.requires_grad:
            raise Mistake("logits with a gradient at every layer", "logits without one",
                          "a detach() or no_grad, or layers that are kept in a list: assign them as self.name, or use "
                          "nn.ModuleList")  # fmt: skip
        logits.square().sum().backward()
        for name, parameter in parameters.items():
            if parameter.grad is None:
                raise Mistake("a gradient at every layer", f"none at {name}",
                              "a detach() or no_grad cuts a branch off, or the layer is not used")  # fmt: skip
        twin, (x, _) = build(f, 1).eval(), data(32, seed=114)
        twin.load_state_dict(net.eval().state_dict())
        if not torch.allclose(table(twin, x), table(net, x), rtol=1e-4, atol=1e-5):
            raise Mistake("the same logits from two nets with the same parameters", "different logits",
                          "some layers are kept in a list, so that no optimiser sees them: assign them as self.name, or use "
                          "nn.ModuleList")  # fmt: skip
        with torch.no_grad(), local_seed(98):
            again = net(x, codes[torch.arange(32) % 7])
        if not torch.allclose(again, judge(net, x, codes[torch.arange(32) % 7]), rtol=1e-4, atol=1e-5):
            raise Mistake("the same logits in every call", "different logits",
                          "forward makes new layers or draws noise: make the layers in __init__")  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        takes(f, "pixels", "conditions", "width")
        x, c = draw(1, 2, 5, 6, seed=116).float(), torch.eye(3)[torch.tensor([[[0, 1, 2, 0, 1], [2, 2, 0, 1, 0]]])]
        try:
            arms = Arms(lambda: f(6, 3, 8), arms=2, seeds=(0, 1))
            out = arms(x, c)
            calm = arms.eval()(x, c)
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, NotImplementedError):
                raise
            raise Mistake("logits (2, 2, 5) of two arms and two seeds", f"{type(error).__name__}: {error}", _VMAP) from None
        if not isinstance(out, Tensor) or not isinstance(calm, Tensor):
            raise Mistake("one tensor of logits", type(out).__name__, "forward is to return the logits alone")
        if tuple(out.shape) != (2, 2, 5):
            raise Mistake("logits (2, 2, 5) of two arms and two seeds", f"shape {tuple(out.shape)}",
                          "each net is to give (B,) logits")  # fmt: skip
        for seed in range(2):
            alone = judge(arms.net(1, seed), x[0, seed], c[0, seed])
            compare(calm[1, seed], alone, rtol=1e-4, atol=1e-5)

    reread = "section 6: x and c are joined before a hidden layer, in any way, since D is to see whether they belong together"
    if getattr(function, "forward", None) is nn.Module.forward:
        run_cases("ConditionalDiscriminator", function, [Case("the class has a forward", has_forward)], reread=reread)
    run_cases(
        "ConditionalDiscriminator",
        function,
        [
            Case("five images of six pixels under three conditions, and one image", shapes),
            Case("the logit depends on the image", reacts_to_x),
            Case("the logit depends on the whole condition, also where several attributes are 1", reacts_to_c),
            Case("what the condition changes depends on the image", interaction),
            Case("logits, not probabilities", raw),
            Case("every logit has its own image only", own_row),
            Case("all layers are trained", trained),
            Case("in `Arms`, two arms and two seeds", stacked),
        ],
        reread=reread,
    )

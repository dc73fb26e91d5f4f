"""Checks of lab 01: the gradient through a residual block, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes, unchanged

_Problem = tuple[Tensor, Tensor, Tensor, Tensor]
_CHAIN = "the relu is the last step, so its mask multiplies upstream first, for both ways back"


def _through(rows: Tensor, jacobian: Tensor) -> Tensor:
    """A row for each image, times its Jacobian."""
    return (rows[:, :, None] * jacobian).sum(1)


def _both(rows: Tensor, jacobian: Tensor) -> Tensor:
    """Back through F and through the identity."""
    return rows + _through(rows, jacobian)


def residual_gradient(function: Callable[..., Any]) -> None:
    """Check `residual_gradient(x, f, jacobian, upstream)`: -> dL/dx (B, D), compared with torch.autograd in float64."""

    def problem(b: int = 5, *, seed: int, shift: float = 0.0, flat: bool = False) -> tuple[_Problem, Tensor]:
        """Inputs for F of two layers on 4 units, and autograd's answer.

        A large `shift` switches all units on, or off. `flat` makes F constant.
        """
        w1, w2, b2 = draw(7, 4, seed=seed), draw(4, 7, seed=seed + 1) * (0.0 if flat else 0.8), draw(4, seed=seed + 4) + shift

        def layers(x: Tensor) -> Tensor:
            return torch.tanh(x @ w1.T) @ w2.T + b2

        x = draw(b, 4, seed=seed + 2).requires_grad_()
        upstream = draw(b, 4, seed=seed + 3)
        f = layers(x)
        jacobian = torch.stack([torch.autograd.grad(f[:, i].sum(), x, retain_graph=True)[0] for i in range(4)], 1)
        (answer,) = torch.autograd.grad((upstream * torch.relu(f + x)).sum(), x)
        return (x.detach(), f.detach(), jacobian, upstream), answer

    def apply(f: Callable[..., Any], args: _Problem) -> Any:
        takes(f, "x", "f", "jacobian", "upstream")
        return f(*args)

    def known(args: _Problem) -> dict[str, Tensor]:
        x, f, jacobian, g = args
        on = (f + x).sign().clamp(min=0)
        p, turned = g * on, jacobian.transpose(1, 2)
        right = p + _through(p, jacobian)
        return {
            f"the relu's mask is missing, 1 where F(x) + x > 0: {_CHAIN}": g + _through(g, jacobian),
            "the mask is that of F(x): the relu sees F(x) + x": _both(g * (f > 0), jacobian),
            "the mask is that of x: the relu sees F(x) + x": _both(g * (x > 0), jacobian),
            f"the mask is on the way through F only: {_CHAIN}": g + _through(p, jacobian),
            f"the mask is on the identity only: {_CHAIN}": p + _through(g, jacobian),
            f"the mask was applied at the end, to dL/dx: {_CHAIN}": on * (g + _through(g, jacobian)),
            "the mask is turned round: gradients pass where F(x) + x is above 0": _both(g * (1 - on), jacobian),
            "multiplied with the relu's output: its derivative is 1 or 0": _both(g * (f + x).clamp(min=0), jacobian),
            "the Jacobian is the wrong way round: upstream's index is i of jacobian[b, i, j]": p + _through(p, turned),
            "the Jacobian is the wrong way round, and the mask is missing": g + _through(g, turned),
            "the identity is missing: this is the gradient of a plain net, relu(F(x))": _through(p, jacobian),
            "the identity and the mask are missing": _through(g, jacobian),
            "only the identity is there: the way through F is missing": p,
            "this is upstream itself": g,
            "F'(x) was multiplied with x: the derivative of F(x) + x is F'(x) + 1": _through(p, jacobian) * x,
            "the identity's derivative is 1, not x": p * x + _through(p, jacobian),
            "only the diagonal of the Jacobian was used: each unit of F depends on all of x":
                p + p * jacobian.diagonal(dim1=1, dim2=2),
            "the Jacobian was summed over without upstream: each of its rows belongs to one unit of upstream":
                p * (1 + jacobian.sum(1)),
            "upstream is missing: this is the sum of dy/dx over y": _both(on, jacobian),
            "negative gradients were cut off as well (as guided backpropagation does)": _both(p * (g > 0), jacobian),
            "the mask is that of upstream: the gradient passes where the relu was on, whatever its own sign":
                _both(g * (g > 0), jacobian),
            "averaged over the batch: each image has a gradient of its own": right / len(x),
            "summed over the batch: each image has a gradient of its own": right.sum(0),
            "averaged over the batch to one row: each image has a gradient of its own": right.mean(0),
            "the sign is turned": -right,
            "the Jacobian's way is subtracted: it is added": p - _through(p, jacobian)}  # fmt: skip

    def half(f: Callable[..., Any]) -> None:
        for seed in (40, 50):
            args, answer = problem(seed=seed)
            compare(apply(f, args), answer, known=known(args))

    def all_on(f: Callable[..., Any]) -> None:
        args, answer = problem(seed=60, shift=50.0)
        compare(apply(f, args), answer, known=known(args))

    def all_off(f: Callable[..., Any]) -> None:
        args, answer = problem(seed=70, shift=-50.0)
        jacobian, g = args[2:]
        compare(apply(f, args), answer, known={
            f"the gradient went around the relu through the identity: {_CHAIN}": g,
            f"the gradient went around the relu through F: {_CHAIN}": _through(g, jacobian),
            f"the relu's mask is missing: {_CHAIN}": _both(g, jacobian),
            "the mask is that of x: the relu sees F(x) + x": _both(g * (args[0] > 0), jacobian),
            "the mask is that of upstream: it is 1 where F(x) + x > 0": _both(g * (g > 0), jacobian)})  # fmt: skip

    def constant(f: Callable[..., Any]) -> None:
        args, answer = problem(seed=80, flat=True)
        x, value, _, g = args
        compare(apply(f, args), answer, known={
            "nothing comes back where F is constant: the identity is missing": torch.zeros_like(answer),
            f"the identity's way has no mask: {_CHAIN}": g,
            "the mask is that of F(x): the relu sees F(x) + x": g * (value > 0),
            "the mask is that of x: the relu sees F(x) + x": g * (x > 0),
            "the mask is that of upstream: it is 1 where F(x) + x > 0": g * (g > 0),
            "the identity's derivative is 1, not x": answer * x})  # fmt: skip

    def one(f: Callable[..., Any]) -> None:
        args, answer = problem(1, seed=90)
        out = apply(f, args)
        if isinstance(out, Tensor) and tuple(out.shape) == (4,):
            raise Mistake("shape (1, 4) for one image", "shape (4,)", "the batch was summed or squeezed away")
        compare(out, answer, known=known(args))

    run_cases(
        "residual_gradient",
        function,
        [
            Case("five images, some units on and some off", half),
            Case("all units on: the relu changes nothing", all_on),
            Case("all units off: the relu stops everything", all_off),
            Case("a constant F: only the identity is left", constant),
            Case("a batch of one image", one),
            Case("the inputs stay as they are", lambda f: unchanged(f, *problem(seed=40)[0], what="the inputs")),
        ],
        reread="section 3, 'What the skips are for'; read relu(F(x) + x) from the outside in: the relu, then both ways back",
    )

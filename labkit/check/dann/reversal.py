"""Checks of lab 08: the reversed gradient, and the net of three parts that it stands in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged


def reverse(function: Callable[..., Any]) -> None:
    """Check `reverse(features, strength)`: the features as they are, their gradient times -strength."""

    def gradient(f: Callable[..., Any], x: Tensor, strength: Any, upstream: Tensor) -> Tensor:
        """The gradient that arrives at the features."""
        x, kept = x.clone().requires_grad_(), upstream.clone()
        try:
            out = f(x, strength)
        except TypeError as error:
            if "save_for_backward" in str(error):
                raise Mistake("a strength that is a number", str(error), _SAVED) from None
            raise
        if not isinstance(out, Tensor):
            raise Mistake("a tensor", type(out).__name__, "the function has no return statement" if out is None else
                          "call the autograd function with .apply(features, strength)")  # fmt: skip
        if not out.requires_grad:
            raise Mistake("an output that gradients flow through", "an output without a gradient", _CUT)
        try:
            out.backward(upstream)
        except (RuntimeError, ValueError, TypeError) as error:
            raise Mistake("a backward pass", f"{type(error).__name__}: {error}", _COUNT if "number of gradients" in str(error)
                          else _NO_FLOAT) from None  # fmt: skip
        if x.grad is None:
            raise Mistake("a gradient at the features", "None", _CUT)
        if not torch.equal(upstream, kept):
            raise Mistake("the incoming gradient left as it is", "changed values",
                          "backward works in place: others may still need that gradient")  # fmt: skip
        return x.grad

    def value(f: Callable[..., Any]) -> None:
        takes(f, "features", "strength")
        for strength in (0.3, 1.7):
            x = draw(64, 33, seed=1).float()
            out = f(x.clone(), strength)
            forward = "the forward pass is to return the features as they are: only the way back changes"
            compare(out, x, rtol=1e-4, atol=1e-5, known={
                f"{forward}; these were multiplied by -strength": -strength * x,
                f"{forward}; these were multiplied by strength": strength * x,
                f"{forward}; these were negated": -x,
                f"{forward}; these were set to zero": 0 * x})  # fmt: skip
            if out.dtype != torch.float32:
                raise Mistake("float32 as given", str(out.dtype).removeprefix("torch."), "keep the type of the features")
            if not torch.equal(out, x):
                raise Mistake("the features to the last bit", f"values off by up to {float((out - x).abs().max()):.1g}",
                              "sums whose parts should cancel do not in float32: the forward pass must compute "
                              "nothing, so give the way back a rule of its own in a torch.autograd.Function")  # fmt: skip

    def one_number(f: Callable[..., Any]) -> None:
        x, g = draw(3, 4, seed=2), draw(3, 4, seed=3)
        compare(gradient(f, x, 0.7, g), -0.7 * g, known={
            "the gradient came through unchanged: nothing reverses it": g,
            "reversed, but not scaled with the strength": -g,
            "scaled, but not reversed: the minus sign is missing": 0.7 * g,
            "a constant -strength: multiply the gradient that comes in from above with it": torch.full_like(g, -0.7),
            "divided by the strength: it is a factor": -g / 0.7,
            "the strength was applied twice": -0.49 * g,
            "the whole reversal was applied twice, so that the signs cancel": 0.49 * g,
            "multiplied with the features: multiply the gradient that comes in from above": -0.7 * x,
            "the gradient was set to zero, not turned round": 0 * g})  # fmt: skip

    def one_for_each_arm(f: Callable[..., Any]) -> None:
        x, g = draw(3, 2, 4, 5, seed=4), draw(3, 2, 4, 5, seed=5)
        strength = torch.tensor([0.25, 1.0, 4.0], dtype=F64).reshape(3, 1, 1, 1)
        try:
            got = gradient(f, x, strength, g)
        except (RuntimeError, ValueError, TypeError) as error:
            raise Mistake("a strength of shape (3, 1, 1, 1)", f"{type(error).__name__}: {error}", _NO_FLOAT) from None
        compare(got, -strength * g, known={
            "the arms share one strength: let the tensor broadcast": -1.75 * g,
            "the strength of the first arm was used for all": -0.25 * g})  # fmt: skip

    def zero(f: Callable[..., Any]) -> None:
        g = draw(3, 4, seed=6)
        compare(gradient(f, draw(3, 4, seed=7), 0.0, g), 0 * g, known={
            "a strength of 0 was taken for 'no reversal': it stops the gradient": g,
            "a strength of 0 was replaced by a default": -g})  # fmt: skip

    def twice(f: Callable[..., Any]) -> None:
        x, g = draw(3, 4, seed=8), draw(3, 4, seed=9)
        compare(gradient(lambda x, s: f(f(x, 0.5), s), x, 3.0, g), 1.5 * g, known={
            "the strength of the last call was used for both: keep it with the call (in ctx), "
            "not in a global or a class attribute": 9 * g})  # fmt: skip

    run_cases(
        "reverse",
        function,
        [
            Case("features stay as they are", lambda f: unchanged(lambda x: f(x, 0.5), draw(3, 4))),
            Case("the value, bit by bit in float32", value),
            Case("the gradient, at a strength of 0.7", one_number),
            Case("a strength for each of three arms", one_for_each_arm),
            Case("a strength of 0", zero),
            Case("two reversals in a row, 0.5 and 3", twice),
        ],
        reread="the docstring: the features unchanged on the way there, their gradient times -strength on the way back",
    )


_CUT = "a detach(), .data or no_grad cuts the features off: a reversed gradient is not a missing one"
_NO_FLOAT = "the strength may be a tensor that broadcasts: no float(), .item() or `if`"
_COUNT = "return one gradient for each argument of forward: None for the strength"
_SAVED = "save_for_backward takes tensors alone: keep a number as ctx.strength"


def three_parts(function: Callable[..., Any]) -> None:
    """Check `three_parts(extractor, label_head, domain_head, reverse, x)`: -> class logits (..., B, 10) and domain logits.

    The domain logits are (..., B). The check passes a `reverse` that triples and adds one, so that the values show where
    it was called.
    """

    def mark(h: Tensor) -> Tensor:
        return 3 * h + 1

    def nets() -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """Extractor, label head and domain head; features are as wide as x."""
        parts = nn.Linear(5, 5), nn.Linear(5, 10), nn.Linear(5, 1)
        for seed, part in enumerate(parts):
            part.double()
            part.weight.data, part.bias.data = draw(*part.weight.shape, seed=seed), draw(*part.bias.shape, seed=10 + seed)
        return parts

    def pair(f: Callable[..., Any], parts: tuple[Any, Any, Any], x: Tensor) -> tuple[Tensor, Tensor]:
        takes(f, "extractor", "label_head", "domain_head", "reverse", "x")
        out = f(*parts, mark, x)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: class logits (..., B, 10) and domain logits (..., B)", type(out).__name__,
                          "the function has no return statement" if out is None else "")  # fmt: skip
        b, shapes = tuple(x.shape[:-1]), [tuple(torch.as_tensor(o).shape) for o in out]
        if shapes[1] == (*b, 10):
            raise Mistake("class logits, then domain logits", f"shapes {shapes[0]} and {shapes[1]}", "the pair is swapped")
        return out[0], out[1]

    def classes(f: Callable[..., Any]) -> None:
        parts, x = nets(), draw(4, 5, seed=20)
        extractor, label_head, _ = parts
        h = extractor(x)
        compare(pair(f, parts, x)[0], label_head(h), known={
            "the label head was fed the reversed features: it is to get the features themselves": label_head(mark(h)),
            "x itself was reversed: the reversal stands between the features and the domain head":
                label_head(extractor(mark(x))),
            "the label head was fed x: it works on the features": label_head(x),
            "the class logits were reversed": mark(label_head(h)),
            "these are probabilities: return logits, the loss does the rest": label_head(h).softmax(-1),
            "these are labels: return logits": label_head(h).argmax(-1)})  # fmt: skip

    def domains(f: Callable[..., Any]) -> None:
        parts, x = nets(), draw(4, 5, seed=21)
        extractor, _, domain_head = parts
        h = extractor(x)
        right = domain_head(mark(h))[:, 0]
        got = pair(f, parts, x)[1]
        if tuple(got.shape) == (4, 1):
            raise Mistake("shape (4,)", "shape (4, 1)", _KEPT)
        compare(got, right, known={
            "reverse was not used: the extractor would learn to tell the domains apart": domain_head(h)[:, 0],
            "x was reversed: the reversal stands between the features and the domain head":
                domain_head(extractor(mark(x)))[:, 0],
            "the domain head's output was reversed, so that this head would be trained to be wrong, too: "
            "reverse what goes into it": mark(domain_head(h))[:, 0],
            "features were reversed twice, which leaves them as they were": domain_head(mark(mark(h)))[:, 0],
            "the domain head was fed x: it works on the features": domain_head(x)[:, 0],
            "the domain head was fed x, reversed: it works on the features": domain_head(mark(x))[:, 0],
            "these are probabilities: return logits, the loss does the rest": right.sigmoid()})  # fmt: skip

    def one_image(f: Callable[..., Any]) -> None:
        parts, x = nets(), draw(1, 5, seed=22)
        got = pair(f, parts, x)
        if tuple(got[1].shape) == ():
            raise Mistake("domain logits (1,) for one image", "shape ()", _SQUEEZED)
        if tuple(got[0].shape) == (10,):
            raise Mistake("class logits (1, 10) for one image", "shape (10,)", _SQUEEZED)
        compare(got[1], parts[2](mark(parts[0](x)))[:, 0])

    def stacked(f: Callable[..., Any]) -> None:
        parts, x = nets(), draw(2, 1, 4, 5, seed=23)
        c, d = pair(f, parts, x)
        if tuple(d.shape) == (2, 1, 4, 1):
            raise Mistake("domain logits (2, 1, 4) for stacked nets", "shape (2, 1, 4, 1)", _KEPT)
        if tuple(d.shape) == (2, 4):
            raise Mistake("domain logits (2, 1, 4) for stacked nets", "shape (2, 4)", _SQUEEZED)
        if tuple(d.shape) != (2, 1, 4):
            raise Mistake("domain logits (2, 1, 4) for stacked nets", f"shape {tuple(d.shape)}", _KEPT)
        h = parts[0](x)
        compare(c, parts[1](h))
        compare(d, parts[2](mark(h))[..., 0])

    def gradients(f: Callable[..., Any]) -> None:
        for which, name, head in ((0, "class", 1), (1, "domain", 2)):
            parts = nets()
            out = pair(f, parts, draw(4, 5, seed=24))[which]
            if out.requires_grad:
                out.square().sum().backward()
            for part, owner in ((head, f"{name} head"), (0, "extractor")):
                if parts[part].weight.grad is None:
                    raise Mistake(f"a gradient of the {name} logits at the {owner}", "none",
                                  "a detach(), .data or no_grad: both heads teach the extractor, the domain head "
                                  "through the reversal")  # fmt: skip

    def once(f: Callable[..., Any]) -> None:
        extractor, label_head, domain_head = nets()
        calls = []

        def counted(x: Tensor) -> Tensor:
            calls.append(tuple(x.shape))
            return extractor(x)

        pair(f, (counted, label_head, domain_head), draw(4, 5, seed=25))
        if len(calls) != 1:
            raise Mistake("one call of the extractor", f"{len(calls)} calls",
                          "both heads share the features: call it once (twice costs twice the time, and dropout "
                          "would give the heads different features)")  # fmt: skip

    run_cases(
        "three_parts",
        function,
        [
            Case("class logits (in this check, reverse triples and adds 1)", classes),
            Case("domain logits (in this check, reverse triples and adds 1)", domains),
            Case("a batch of one image", one_image),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("gradients reach the heads and the extractor", gradients),
            Case("the extractor is called once", once),
        ],
        reread="the lines above the exercise: between which two parts the reversal stands, and what the two heads share",
    )


_KEPT = "the domain head has one output: take its last dimension, counted from the end (-1), away"
_SQUEEZED = "squeeze() without a dimension takes every 1 away: name the last one, -1"

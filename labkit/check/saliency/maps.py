"""Checks of lab 07: saliency maps, and a net that stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, Mistake, draw, run_cases, takes
from labkit.check.nets import Broken, undisturbed
from labkit.check.saliency.left import Before, leaves_all
from labkit.check.saliency.small import Cubic, Modes, apply, images, judge, no_graph, pick, rise, wrong_scores

_FINALLY = "an error jumped over the lines that put things back: they belong under `finally:`"
_GRAPH = (
    "create_graph=True keeps the graph for second derivatives: leave it out; "
    "and what torch.func gives hangs on the parameters: .detach() it"
)


def saliency(function: Callable[..., Any]) -> None:
    """Check `saliency(net, x, y)`: -> (B, H, W), compared with rows of weights and with central differences."""

    def classes(n: int) -> Tensor:
        return torch.tensor([1, 0, 3, 1, 2][:n])

    def run(f: Callable[..., Any], net: Any, x: Tensor, y: Tensor) -> Any:
        takes(f, "net", "x", "y")
        return apply(f, net, x, y)

    def largest(g: Tensor) -> Tensor:
        """Of three channels the one with the steepest slope, up or down."""
        return torch.maximum(g, -g).max(1).values

    def known(g: Tensor, x: Tensor) -> dict[str, Tensor]:
        """What well-known mistakes make of the slopes g."""
        size, right = g.abs(), largest(g)
        low, high = right.amin((1, 2), keepdim=True), right.amax((1, 2), keepdim=True)
        first = torch.zeros_like(right)
        first[0] = right[0]
        return {
            "the absolute value is missing: a pixel that lowers the score matters as well": g.amax(1),
            "the absolute value was taken after the maximum over channels: it comes first": g.amax(1).abs(),
            "the lowest slope of the channels was taken": g.amin(1),
            "the lowest slope of the channels was taken, and its absolute value": g.amin(1).abs(),
            "the smallest of the channels was taken: it is the largest": size.amin(1),
            "slopes below 0 were cut off: a pixel that lowers the score matters as well": g.clamp(min=0).amax(1),
            "this is the mean over channels: it is the largest": size.mean(1),
            "this is the sum over channels: it is the largest": size.sum(1),
            "this is the mean over channels before the absolute value: it is the largest absolute value": g.mean(1).abs(),
            "this is the sum over channels before the absolute value: it is the largest absolute value": g.sum(1).abs(),
            "this is the Euclidean length over channels: it is the largest": g.square().sum(1).sqrt(),
            "this is the squared slope: take its absolute value": size.square().amax(1),
            "this is the red channel alone": size[:, 0],
            "this is the blue channel alone": size[:, 2],
            "the batch dimension is lost: without squeeze() it is (1, H, W)": right.squeeze(0),
            "the largest over images was taken: dimension 0 is the batch, and channels are dimension 1": size.amax(0),
            "the largest over images and channels was taken: each image has its own map": size.amax((0, 1)),
            "the channels are still there: take the largest over dimension 1": size,
            "the channels are still there, and the absolute value is missing": g,
            "dimension 1 is still there, with one entry: (B, H, W), without keepdim": right[:, None],
            "the scores were averaged over the batch, which divides each map by B: sum them": right / len(x),
            "each map was divided by its largest value: return the slopes as they are": right / high,
            "each map was stretched to 0..1: return the slopes as they are": (right - low) / (high - low),
            "the maps were divided by the largest value of all: return the slopes as they are": right / right.max(),
            "slopes were multiplied by the pixels (gradient times input)": largest(g * x),
            "height and width are swapped": right.transpose(1, 2),
            "only the first image got a map: this works for a batch of one alone": first}  # fmt: skip

    def linear(f: Callable[..., Any]) -> None:
        net, x, y = Modes(), images(5, 1), classes(5)
        rows = net.rows(y)
        judge(run(f, net, x.clone(), y.clone()), largest(rows), lambda: known(rows, x))

    def curved(f: Callable[..., Any], n: int) -> None:
        net, x, y = Cubic(), images(n, 2), classes(n)
        g = rise(lambda z: pick(net.scores(z), y), x)

        def all_known() -> dict[str, Tensor]:
            other = {cause: largest(rise(score, x)) for cause, score in wrong_scores(net, y).items()}
            alone = torch.zeros_like(x)
            alone[0] = rise(lambda z: net.scores(z)[:, y].sum(1), x)[0]
            return {**known(g, x), **other, "logits[0, y] are of the first image alone": largest(alone)}

        judge(run(f, Cubic(), x.clone(), y.clone()), largest(g), all_known)

    def mixed(root: bool, *, breaks: bool = False) -> Modes:
        """A net whose modules are not all in the same mode."""
        net = Modes(breaks=breaks).train(root)
        net.norm.train(not root)
        net.body.get_submodule("0").train(not root)
        net.body.get_submodule("0.0").train(root)
        return net

    def evaluated(f: Callable[..., Any]) -> None:
        x, y = images(5, 3), classes(5)
        for net in (Modes().train(), mixed(True), mixed(False)):
            rows, before = net.rows(y), Before(net)
            out = run(f, net, x.clone(), y.clone())
            on = list(dict.fromkeys(name for names in net.seen for name in names))
            if on:
                raise Mistake("evaluation mode in the whole net", f"training mode in {' and '.join(on)}",
                              "call net.eval() first, on all of the net: in training mode dropout draws at random, and batch "
                              "norm mixes the images of a batch, so that a score depends on all of them")  # fmt: skip
            judge(out, largest(rows), lambda rows=rows: known(rows, x))  # type: ignore[misc]
            before.same()

    def modes_back(f: Callable[..., Any]) -> None:
        for net in (Modes().train(), Modes(), mixed(True), mixed(False)):
            before = Before(net)
            run(f, net, images(3, 4), classes(3))
            before.same()

    def after_an_error(f: Callable[..., Any]) -> None:
        for required in (False, True):
            net, x, y = mixed(True, breaks=True), images(3, 4), classes(3)
            x.requires_grad_(required)
            before = Before(net, x=x, y=y)
            try:
                run(f, net, x, y)
            except Broken:
                before.same(_FINALLY)
            else:
                raise Mistake("the net's error to arrive at the caller", "a result",
                              "an `except:` swallowed it, or the net did not run: use `finally:`")  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        leaves_all(lambda *args: run(f, *args), lambda: {"x": images(3, 5), "y": classes(3)}, graph=_GRAPH)

    def x_with_gradient(f: Callable[..., Any]) -> None:
        for grad in (None, draw(3, 3, 4, 5, seed=8)):
            net, x, y = Cubic(), images(3, 5).requires_grad_(), classes(3)
            x.grad = grad
            before = Before(net, x=x, y=y)
            out = run(f, net, x, y)
            before.same()
            no_graph(out, _GRAPH)

    with undisturbed():
        run_cases(
            "saliency",
            function,
            [
                Case("five images, and a net in evaluation mode that is linear in them", linear),
                Case("four images, and a net of two layers", lambda f: curved(f, 4)),
                Case("a batch of one image", lambda f: curved(f, 1)),
                Case("nets with batch norm and dropout, in training mode and in both modes", evaluated),
                Case("the modes afterwards", modes_back),
                Case("what is left after the net raised an error", after_an_error),
                Case("x, y and the gradients of the net afterwards", left_alone),
                Case("an x that requires gradients, without and with a gradient in x.grad", x_with_gradient),
            ],
            reread="section 1, on the gradient of a class score, and the docstring: what is left behind is nothing",
        )

"""Checks of lab 01: accuracy, measured on a net that stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes
from labkit.check.nets import Broken, Log, call, gradients_as_before, modes, moved, settle, some, state, undisturbed

_ONCE = "batches may be readable only once, and may have no length or dataset: count images as they come, in one loop"
_CLASS = "the class is the largest logit of each image, in dimension 1: logits are (B, classes)"
_COUNT = "truth values have no mean: count them with .sum(), and divide by all images at the end"
_FINALLY = "an error jumped over the lines that put the modes back: they belong under `finally:`"
_ALIKE = "net.train(), also with a mode, sets all modules alike"


class _Mixed(nn.Module):
    """A net whose modules are not all in the same mode, and which notes how it is called."""

    def __init__(self, root: bool, *, breaks_at: int = -1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.4), nn.BatchNorm2d(4)))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(4, 3))
        settle(self)
        self.train(root)
        for module, mode in ((self.body, False), (self.body[2], True), (self.head, True), (self.head[2], False)):
            module.train(mode)
        self.breaks_at = breaks_at
        self.graphs, self.in_training = Log(), Log()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 3)."""
        if len(self.graphs) == self.breaks_at:
            raise Broken
        self.graphs.append(torch.is_grad_enabled())
        self.in_training.extend(name or "the net itself" for name, mode in modes(self).items() if mode)
        logits: Tensor = self.head(self.body(x))
        return logits


def accuracy(function: Callable[..., Any]) -> None:
    """Check `accuracy(net, batches)`: -> the share of images that are classified right, and a net that is as it was."""

    def measured(f: Callable[..., Any], net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Any:
        takes(f, "net", "batches")
        return call(f, net, batches, hints={
            "must match the size of tensor": _CLASS,
            "has no attribute 'sum'": "max(1) gives values and indices: take argmax(1)",
            "has no len()": _ONCE, "attribute 'dataset'": _ONCE, "is not subscriptable": _ONCE, "ZeroDivisionError": _ONCE,
            "Got: Bool": _COUNT})  # fmt: skip

    def photos() -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
        """Batches of 8, 8 and 3 images of which 6, 2 and 3 are classified right, by the largest of their channels."""
        batches = []
        for seed, (size, hits) in enumerate([(8, 6), (8, 2), (3, 3)]):
            x = draw(size, 4, 2, 2, seed=60 + seed)
            sums = [[float(channel.sum()) for channel in image] for image in x]
            best = [row.index(max(row)) for row in sums]
            batches.append((x, torch.tensor([c if i < hits else (c + 1) % 4 for i, c in enumerate(best)])))
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), batches

    def value(f: Callable[..., Any]) -> None:
        net, batches = photos()
        out = measured(f, net, batches)
        compare(out, 11 / 19, known={
            "this is the mean of the batches' accuracies, in which an image of a small batch counts more: "
            "count over all batches, and divide at the end": (6 / 8 + 2 / 8 + 3 / 3) / 3,
            "the batches' accuracies were added: count images, and divide at the end": 6 / 8 + 2 / 8 + 3 / 3,
            "this is in percent: a share is in 0..1": 1100 / 19,
            "this is the number of images that are right: divide by the number of all": 11,
            "divided by batches times batch size: the last batch is smaller, so add up len(y)": 11 / 24,
            "divided by 3, the number of batches or the size of the last one: add up len(y)": 11 / 3,
            "this is the share of images that are wrong": 8 / 19,
            "only the last batch was counted": 1,
            "only the first batch was counted": 6 / 8,
            f"argmax without a dimension looks at the whole batch (or // is whole-number division); {_CLASS}": 0,
        }, rtol=1e-6)  # fmt: skip
        if not isinstance(out, float):
            raise Mistake("a float", type(out).__name__, "take the number out of the tensor: .item(), or int() of the count")

    def generator(f: Callable[..., Any]) -> None:
        net, batches = photos()
        listed = measured(f, net, batches)
        compare(measured(f, net, (pair for pair in batches)), listed, known={_ONCE: 0})

    def data() -> list[tuple[Tensor, Tensor]]:
        return [(draw(n, 3, 4, 4, seed=70 + n), torch.arange(n) % 3) for n in (5, 5, 2)]

    def evaluated(f: Callable[..., Any]) -> None:
        for root in (False, True):
            net = _Mixed(root)
            before = state(net)
            measured(f, net, data())
            on = list(dict.fromkeys(net.in_training))
            if on:
                raise Mistake("every module in evaluation mode during the pass", f"training mode in {some(on)}",
                              "call net.eval() before the loop: in training mode dropout makes the number random, and batch "
                              "norm judges an image by its batch and changes its statistics")  # fmt: skip
            changed = moved(net, before)
            if changed:
                raise Mistake("weights and statistics unchanged", f"{some(changed)} changed", "measuring must not train")

    def no_graph(f: Callable[..., Any]) -> None:
        net, after = _Mixed(False), []

        def watched(net: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
            f(net, batches)
            after.append(torch.is_grad_enabled())

        measured(watched, net, data())
        if any(net.graphs):
            raise Mistake("a forward pass without a graph", "one with a graph",
                          "evaluation mode does not stop gradients: put the loop under torch.no_grad()")  # fmt: skip
        gradients_as_before(net, after)

    def same_modes(net: nn.Module, before: dict[str, bool], cause: str = "") -> None:
        after = modes(net)
        wrong = [name or "the net itself" for name in after if after[name] != before[name]]
        if not wrong:
            return
        if not cause and all(after.values()):
            cause = f"everything was put into training mode, what is frozen, too: {_ALIKE}"
        elif not cause and not any(after.values()):
            cause = f"everything is still in evaluation mode: nothing was put back, or by net.train(mode), and {_ALIKE}"
        elif not cause:
            cause = f"only some modes were put back: note that of each of net.modules(), children of children too; {_ALIKE}"
        raise Mistake("each module in the mode in which it was", f"another mode in {some(wrong)}", cause)

    def restored(f: Callable[..., Any]) -> None:
        for root in (True, False):
            net = _Mixed(root)
            before = modes(net)
            measured(f, net, data())
            same_modes(net, before)

    def after_an_error(f: Callable[..., Any]) -> None:
        net = _Mixed(True, breaks_at=1)
        before = modes(net)
        try:
            measured(f, net, data())
        except Broken:
            same_modes(net, before, _FINALLY)
        else:
            raise Mistake("the net's error to arrive at the caller", "a result", "an `except:` swallowed it: use `finally:`")

    with undisturbed():
        run_cases(
            "accuracy",
            function,
            [
                Case("batches of 8, 8 and 3 images, of which 6, 2 and 3 are right", value),
                Case("the same from a generator as from a list", generator),
                Case("the modes during the pass", evaluated),
                Case("no graph, and gradients as before", no_graph),
                Case("the modes afterwards, of a net that has both", restored),
                Case("the modes after the net raised an error", after_an_error),
            ],
            reread="the docstring: over what is averaged, and what 'as it was' means for a net with a frozen backbone",
        )

"""Checks of lab 06: several cuts of a net read in one pass, averaged over grids."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from labkit.check.frame import Case, Mistake, compare, run_cases, takes
from labkit.check.nets import call, hooks, modes, moved, no_hook_after_an_error, some, state, undisturbed
from labkit.check.vgg.small import chain, photos

_MAPS, _VECTORS = ("features.1", "features.6"), "classifier.0"
_CUTS, _SIDES = [*_MAPS, _VECTORS], [1, 2]
_BIND = "a closure looks its name up when it runs, after the loop has ended: bind it by a default argument, name=name"
_FINALLY = "an error jumped over the lines that remove them: use `with capture(...)`, or `finally:`"
_NO_GRID = "a layer with outputs (B, D) has no grid: it is given once, whole, under side 1"
_JOIN = "join the pieces of the batches along the images, torch.cat"


def _cells(o: Tensor, side: int, *, overlap: bool = True, reduce: Callable[..., Tensor] = torch.mean) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side). Cells of a map that side does not divide overlap, as adaptive pooling has them."""

    def edges(n: int) -> list[slice]:
        if not overlap:
            return [slice(i * (n // side), (i + 1) * (n // side)) for i in range(side)]
        return [slice(i * n // side, -(-(i + 1) * n // side)) for i in range(side)]

    rows, columns = edges(o.shape[2]), edges(o.shape[3])
    return torch.stack([torch.stack([reduce(o[:, :, r, c], (2, 3)) for c in columns], -1) for r in rows], -2)


def _outputs(images: list[Tensor]) -> dict[str, Tensor]:
    """What all layers put out for all images, and what goes in, 'before ...'."""
    net, _ = chain()
    x, found = torch.cat(images), {}
    with torch.inference_mode():
        for name, module in net.named_modules():
            if not list(module.children()):
                found[f"before {name}"] = x
                x = found[name] = module(x.clone())
    return found


def _known(found: dict[str, Tensor], cut: str, side: int) -> dict[str, Tensor]:
    """What well-known mistakes give at a cut."""
    o, n = found[cut], len(found[cut])

    def joined(o: Tensor) -> Tensor:
        return _cells(o, side).flatten(1) if o.ndim == 4 else o

    right = joined(o)
    known = {
        "the last batch is lost": right[:-2],
        "only the last batch was kept: collect one piece a batch, and join them": right[-2:],
        "only the first batch was kept: collect one piece a batch, and join them": right[:4],
        "the batches are in reverse order": torch.cat([right[7:], right[4:7], right[:4]]),
        "each image is there several times: one pass a batch, and each cut and side once":
            torch.cat([piece for first, last in ((0, 4), (4, 7), (7, n)) for piece in [right[first:last]] * 2]),
        "images and features are swapped": right.T,
        "the relu after the layer works in place and overwrote the output that was kept: average in the hook itself, when "
        "the output is fresh, or use capture": joined(o.clamp(min=0)),
        "this is what goes into the layer, not what comes out of it": joined(found[f"before {cut}"])}  # fmt: skip
    known |= {f"this is {other!r}: {_BIND}": joined(found[other]) for other in _CUTS if other != cut}
    if o.ndim == 4:
        grid, whole = _cells(o, side), _cells(o, 1).flatten(1)
        known |= {
            "side is ignored: average over each cell of a grid of side x side": whole,
            "the average of the whole map stands in every cell": whole.repeat_interleave(side**2, 1),
            "the largest value was taken: average over each cell": _cells(o, side, reduce=torch.amax).flatten(1),
            "summed over each cell: average": _cells(o, side, reduce=torch.sum).flatten(1),
            "the cells come before the channels: channels are outermost, as flatten(1) of (B, C, side, side) has them":
                grid.permute(0, 2, 3, 1).flatten(1),
            "rows and columns of the grid are swapped": grid.transpose(2, 3).flatten(1),
            "the cells are not flattened: (N, C * side**2), by flatten(1)": grid,
            "averaged over the channels, too": grid.mean(1).flatten(1),
            "cells of a map that side does not divide overlap in F.adaptive_avg_pool2d, so that no pixel is left out":
                _cells(o, side, overlap=False).flatten(1),
            "the maps are whole: average over each cell, of which side is the number in a row": o.flatten(1),
            "side is the number of cells in a row, not the pixels of a cell": avg_pool2d(o, side).flatten(1)}  # fmt: skip
    else:
        known |= {
            f"averaged, to one number a batch: {_NO_GRID}": torch.stack([o[:4].mean(), o[4:7].mean(), o[7:].mean()])[:, None],
            f"averaged, to one number an image: {_NO_GRID}": o.mean(1, keepdim=True)}  # fmt: skip
    return known


def one_pass(function: Callable[..., Any]) -> None:
    """Check `one_pass(net, batches, cuts, sides)`: -> {(cut, side): (N, D)}, compared with cells averaged one by one."""

    def apply(f: Callable[..., Any], net: nn.Module, images: list[Tensor], cuts: list[str], sides: list[int]) -> Any:
        takes(f, "net", "batches", "cuts", "sides")
        flat = "a layer with outputs (B, D) has no positions: look at z.ndim, and give it whole"
        dots = "a layer's name may hold dots: net.get_submodule(name) follows them"
        return call(f, net, images, list(cuts), list(sides), hints={
            "Sizes of tensors must match": f"pieces of several cuts or sides were mixed, or joined along another dimension: "
            f"{_JOIN}", "adaptive_avg_pool2d": flat, "Expected 3D": flat, "expected 3D": flat, "2 elements": flat,
            "Dimension out of range": flat, "KeyError: 'features.1'": dots, "attribute 'features.1'": dots,
            "numpy() on Tensor": "the pass keeps a graph: torch.no_grad()"})  # fmt: skip

    def judge(f: Callable[..., Any], images: list[Tensor], cuts: list[str], sides: list[int]) -> None:
        out = apply(f, chain()[0], [x.clone() for x in images], cuts, sides)
        want = [(cut, side) for cut in cuts for side in (sides if cut in _MAPS else [1])]
        if not isinstance(out, dict):
            raise Mistake("a dict {(cut, side): (N, D)}", type(out).__name__,
                          "the function has no return statement" if out is None else "")  # fmt: skip
        extra, missing = [key for key in out if key not in want], [key for key in want if key not in out]
        if extra or missing:
            cause = ("the keys are pairs, (cut, side)" if any(not isinstance(key, tuple) for key in extra) else
                     _NO_GRID if all(cut == _VECTORS for cut, *_ in extra + missing) else
                     "each cut with each side is a key of its own")  # fmt: skip
            off = ", ".join(f"{word} {keys[0]}" for word, keys in (("with", extra), ("without", missing)) if keys)
            raise Mistake(f"{len(want)} keys, such as {want[0]}", f"{len(out)}, {off}", cause)
        found = _outputs(images)
        for cut, side in want:
            got, right = out[cut, side], found[cut]
            if isinstance(got, list | tuple):
                raise Mistake(f"a tensor for {(cut, side)}", f"a {type(got).__name__} of {len(got)}", _JOIN)
            right = _cells(right, side).flatten(1) if right.ndim == 4 else right
            try:
                compare(got, right, rtol=1e-5)
            except Mistake:
                compare(got, right, rtol=1e-5, known=_known(found, cut, side))

    def passes(f: Callable[..., Any]) -> None:
        (net, watch), after = chain(), []

        def watched(net: nn.Module, batches: Any, cuts: Any, sides: Any) -> Any:
            out = f(net, batches, cuts, sides)
            after.append(torch.is_grad_enabled())
            return out

        out, n = apply(watched, net, photos(), _CUTS, _SIDES), len(watch.seen)
        if n != 3:
            cause = "read all cuts in the same pass: capture takes all names at once, and the net runs in one loop"
            raise Mistake("3 passes for 3 batches", f"{n}", cause if n > 3 else "the net has to run on every batch")
        if any(note.graph for note in watch.seen) or any(
            getattr(z, "requires_grad", False) for z in getattr(out, "values", tuple)()
        ):
            raise Mistake("passes without a graph", "passes with one", "detach() does not stop a pass from building it: "
                          "torch.no_grad() does")  # fmt: skip
        if after != [True]:
            raise Mistake("gradients on again after the function", "gradients off",
                          "a set_grad_enabled(False) that nobody takes back: use a `with` block")  # fmt: skip

    def averages_only(f: Callable[..., Any]) -> None:
        sizes = {o.shape[2:] for name, o in _outputs(photos()).items() if name in _MAPS}
        born: list[weakref.ref[Any]] = []

        class Traced(Tensor):
            """A batch of which all that comes of it is noted, as long as it lives."""

            @classmethod
            def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                out = super().__torch_function__(func, types, args, kwargs or {})
                if type(out) is cls:
                    born.append(weakref.ref(out))
                return out

        def maps() -> int:
            """How many maps of the first batch, the one with four images, are still there in the third."""
            shapes = [tensor.shape for ref in list(born) if (tensor := ref()) is not None]
            return sum(len(shape) == 4 and shape[0] == 4 and shape[2:] in sizes for shape in shapes)

        def look(x: Tensor) -> int:
            if len(x) != 2 or not maps():
                return 0
            gc.collect()  # what only waits to be collected is not kept
            return maps()

        net, watch = chain()
        watch.look = look
        apply(f, net, [x.as_subclass(Traced) for x in photos()], _CUTS, _SIDES)
        kept = max((note.looked for note in watch.seen), default=0)
        if kept:
            cause = "whole maps were collected, to be averaged at the end: average each at once"
            if any(note.graph for note in watch.seen):
                cause = "the graph of each pass keeps its maps: torch.no_grad()"
            raise Mistake("no map of the first batch left in the third", f"{kept} of them", cause)

    def modes_kept(f: Callable[..., Any]) -> None:
        for training in (False, True):
            net, watch = chain()
            net.train(training).get_submodule("features.5").train(not training)
            before, values = modes(net), state(net)
            watch.look = lambda x, net=net: modes(net)  # type: ignore[misc]
            apply(f, net, photos(), _CUTS, _SIDES)
            used = dict.fromkeys(name or "the net itself" for note in watch.seen for name in note.looked
                                 if note.looked[name] != before[name])  # fmt: skip
            if used:
                raise Mistake("passes in the mode in which the net is", f"another mode in {some(list(used))}",
                              "the mode was set, by .eval() or .train(): here it is the caller's choice")  # fmt: skip
            if modes(net) != before:
                raise Mistake("the modes as they were", "other modes afterwards", "leave them alone: no .eval() or .train()")
            written = [name for name in moved(net, values) if not name.startswith("features.5")]
            if written:
                raise Mistake("the weights unchanged", f"{some(written)} changed", "reading must not write into the net")

    def hooks_gone(f: Callable[..., Any]) -> None:
        (net, _), calls = chain(), []
        net.get_submodule("features.4").register_forward_hook(lambda module, args, out: calls.append(len(out)))
        images = photos()
        apply(f, net, images, _CUTS, _SIDES)
        left = hooks(net)
        if left > 1:
            raise Mistake("no hook left on the net", f"{left - 1} left", "each handle that register_forward_hook returns has "
                          "to be removed: hooks that stay collect with every later pass")  # fmt: skip
        if left < 1 or not calls:
            raise Mistake("a hook that was there before left alone", "it is gone" if left < 1 else "it was not called",
                          "remove your own hooks only, by their handles, and let the net run as usual")  # fmt: skip
        if any(not torch.equal(x, y) for x, y in zip(images, photos(), strict=True)):
            raise Mistake("the batches unchanged", "changed values", "an operation in place on a batch")

    def after_an_error(f: Callable[..., Any]) -> None:
        net, watch = chain()
        watch.breaks_at = 1
        no_hook_after_an_error(net, lambda: apply(f, net, photos(), _CUTS, _SIDES), _FINALLY)

    with undisturbed():
        run_cases(
            "one_pass",
            function,
            [
                Case("two cuts with maps and one with vectors, sides 1 and 2, batches of 4, 3 and 2 images",
                     lambda f: judge(f, photos(), _CUTS, _SIDES)),
                Case("sides 3 and 1", lambda f: judge(f, photos(), list(_MAPS[:1]), [3, 1])),
                Case("maps of 5 x 7, which side 2 does not divide",
                     lambda f: judge(f, photos(10, 14), list(_MAPS[1:]), [1, 2])),
                Case("the number of passes, and no graph", passes),
                Case("what is kept of each batch", averages_only),
                Case("nets in both modes", modes_kept),
                Case("hooks and batches afterwards", hooks_gone),
                Case("hooks after the net raised an error", after_an_error),
            ],
            reread="section 3, on cuts and grids, and the docstring: one pass a batch, and which key each average has",
        )  # fmt: skip

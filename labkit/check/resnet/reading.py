"""Checks of lab 01: features read with hooks."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes
from labkit.check.nets import Broken, Log, call, hooks, modes, no_hook_after_an_error, settle, some, undisturbed

_BIND = (
    "all hooks use the last name: a closure looks its name up when it runs, after the loop has ended. Bind it by a default "
    "argument, name=name"
)
_IN_PLACE = (
    "the relu after bn1 works in place and overwrote the output that the hook kept: average in the hook itself, when the "
    "output is fresh"
)
_ONCE = "batches may be readable only once: go through them in one loop"
_FINALLY = "an error jumped over the lines that remove them: they belong under `finally:`"
_RETURNS = "a hook that returns something replaces the layer's output: let it return nothing"


class _Noted(nn.Sequential):
    """A net that notes how it is called, and may break at a call."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 5)."""
        if len(self.seen) == self.breaks_at:
            raise Broken
        self.seen.append((torch.is_grad_enabled(), modes(self)))
        return super().forward(x)

    breaks_at = -1
    seen: Log  # of whether gradients are on, and of the modes


def hooked_means(function: Callable[..., Any]) -> None:
    """Check `hooked_means(net, layers, batches)`: -> {name: (N, C)}, compared with a net cut off after each layer."""
    several = ["layer2", "layer1", "conv1"]

    def build() -> _Noted:
        project = nn.Sequential(nn.Conv2d(8, 12, 1, stride=2), nn.BatchNorm2d(12))
        net = _Noted(OrderedDict(
            conv1=nn.Conv2d(3, 8, 3, padding=1), bn1=nn.BatchNorm2d(8), relu=nn.ReLU(inplace=True),
            layer1=nn.Sequential(Bottleneck(8, 2), Bottleneck(8, 2)), layer2=nn.Sequential(Bottleneck(8, 3, 2, project)),
            pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(12, 5)))  # fmt: skip
        net.seen = Log()
        return settle(net, 1).eval()

    def photos() -> list[Tensor]:
        return [draw(n, 3, 6, 6, seed=20 + i) for i, n in enumerate((4, 4, 2))]

    def trace(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
        """What comes out of each layer, (B, C, H, W), and what goes into it, 'before ...'."""
        spare: Any = copy.deepcopy(net)
        found = {}
        with torch.inference_mode():
            for name in ("conv1", "bn1", "relu", "layer1", "layer2"):
                found[f"before {name}"] = x
                if name == "layer1":
                    inner = spare.layer1[1].conv1(spare.layer1[0](x.clone()))
                    found |= {"before layer1.1.bn1": inner, "layer1.1.bn1": spare.layer1[1].bn1(inner)}
                x = spare.get_submodule(name)(x.clone())
                found[name] = x
        return found

    def mean(o: Tensor) -> Tensor:
        return o.flatten(2).sum(-1) / o[0, 0].numel()

    def known(traces: list[dict[str, Tensor]], name: str) -> dict[str, Tensor]:
        """What well-known mistakes give."""

        def means(name: str, reduce: Callable[[Tensor], Tensor] = mean) -> Tensor:
            return torch.cat([reduce(found[name]) for found in traces])

        right = means(name)
        found = {
            "this is what goes into the layer, not what comes out of it": means(f"before {name}"),
            "the largest value was taken: average over the positions": means(name, lambda o: o.flatten(2).amax(-1)),
            "summed over the positions: average": means(name, lambda o: o.flatten(2).sum(-1)),
            "the maps were flattened: average over the positions": means(name, lambda o: o.flatten(1)),
            "the maps were not averaged over the positions": means(name, lambda o: o),
            "only one of the two directions was averaged": means(name, lambda o: o.sum(2) / o.shape[2]),
            "only one of the two directions was averaged; it is both": means(name, lambda o: o.sum(3) / o.shape[3]),
            "averaged over the channels, too": means(name, lambda o: o.flatten(1).sum(1) / o[0].numel()),
            "averaged over the channels: average over the positions, dimensions 2 and 3":
                means(name, lambda o: o.sum(1) / o.shape[1]),
            "averaged over the batch: keep a row for each image":
                means(name, lambda o: o.transpose(0, 1).flatten(1).sum(1)[None] / o[:, 0].numel()),
            "only the last batch was kept: collect one piece a batch, and join them": right[8:],
            "only the first batch was kept": right[:4],
            "the batches are in reverse order": torch.cat([right[8:], right[4:8], right[:4]]),
            "the images are in reverse order": right.flip(0),
            _IN_PLACE: means(name, lambda o: mean(o.clamp(min=0))),
            "each image is there several times: one pass a batch, and one hook a layer": 
                torch.cat([piece for piece in right.split(4) for _ in range(2)]),
            "images and channels are swapped": right.T}  # fmt: skip
        for other in several:
            if other != name:
                found[f"this is '{other}': {_BIND}"] = means(other)
        return found

    def apply(
        f: Callable[..., Any], net: nn.Module, layers: list[str], batches: Iterable[Tensor], *, empty: str = _BIND
    ) -> Any:
        takes(f, "net", "layers", "batches")
        dots = "a layer's name may hold dots: net.get_submodule(name) follows them"
        return call(f, net, layers, batches, hints={
            "expected a non-empty list": f"for a layer nothing was kept: {empty}",
            "Sizes of tensors must match": f"outputs of several layers were mixed: {_BIND}",
            "Expected 3D": _RETURNS, "expected 4D input": _RETURNS, "must be Tensor, not": _RETURNS,
            "KeyError: 'layer1.1.bn1'": dots, "attribute 'layer1.1.bn1'": dots,
            "has no len()": _ONCE, "is not subscriptable": _ONCE,
            "call numpy() on Tensor": "the pass keeps a graph: put it under torch.no_grad()"})  # fmt: skip

    def result(
        f: Callable[..., Any], net: nn.Module, layers: list[str], batches: Iterable[Tensor], *, empty: str = _BIND
    ) -> dict[str, Tensor]:
        out = apply(f, net, layers, batches, empty=empty)
        if not isinstance(out, dict):
            raise Mistake("a dict {name: (N, C)}", type(out).__name__,
                          "the function has no return statement" if out is None else "")  # fmt: skip
        if set(out) != set(layers):
            raise Mistake(f"the keys {some(layers)}", some([str(key) for key in out]) or "none",
                          _BIND if set(out) < set(layers) else "the keys are the names that were given")  # fmt: skip
        for name, values in out.items():
            if isinstance(values, list | tuple):
                raise Mistake(f"a tensor for {name!r}", f"a {type(values).__name__} of {len(values)}",
                              "join the pieces of the batches, torch.cat")  # fmt: skip
        return out

    def judge(got: Any, net: nn.Module, name: str) -> None:
        """Compare with what a layer gives, and look for the cause only if that differs."""
        traces = [trace(net, x) for x in photos()]
        want = torch.cat([mean(found[name]) for found in traces])
        try:
            compare(got, want)
        except Mistake:
            compare(got, want, known=known(traces, name))

    def values(f: Callable[..., Any]) -> None:
        net = build()
        for name, got in result(f, net, several, photos()).items():
            judge(got, net, name)

    def overwritten(f: Callable[..., Any]) -> None:
        net, name = build(), "layer1.1.bn1"
        judge(result(f, net, [name], photos())[name], net, name)

    def generator(f: Callable[..., Any]) -> None:
        net = build()
        listed = result(f, net, several, photos())
        for name, got in result(f, net, several, (x for x in photos()), empty=_ONCE).items():
            compare(got, listed[name])

    def passes(f: Callable[..., Any]) -> None:
        net = build()
        out, n = result(f, net, several, photos()), len(net.seen)
        if n != 3:
            raise Mistake("3 forward passes for 3 batches", f"{n}",
                          "read all layers in the same pass: first hooks on all of them, then one loop")  # fmt: skip
        if any(on for on, _ in net.seen) or any(torch.as_tensor(values).requires_grad for values in out.values()):
            raise Mistake("a forward pass without a graph", "one with a graph",
                          "evaluation mode and detach() do not stop the pass from building it: no_grad() does")  # fmt: skip

    def modes_kept(f: Callable[..., Any]) -> None:
        for mixed in (False, True):
            net = build().train()
            if mixed:
                net.get_submodule("layer1").eval()
            before = modes(net)
            result(f, net, several, photos())
            used = dict.fromkeys(
                name or "the net itself" for _, seen in net.seen for name in seen if seen[name] != before[name]
            )
            if used:
                raise Mistake("the pass in the mode in which the net is", f"another mode in {some(list(used))}",
                              "the mode was set, by .eval() or .train(): here it is the caller's choice")  # fmt: skip
            if modes(net) != before:
                raise Mistake("the modes as they were", "other modes afterwards", "leave them alone: no .eval() or .train()")

    def with_own_hook(net: nn.Module) -> list[int]:
        calls: list[int] = []
        net.get_submodule("layer1").register_forward_hook(lambda m, i, o: calls.append(len(o)))
        return calls

    def hooks_gone(f: Callable[..., Any]) -> None:
        net = build()
        calls = with_own_hook(net)
        apply(f, net, several, photos())
        left = hooks(net)
        if left > 1:
            raise Mistake("no hook left on the net", f"{left - 1} left",
                          "each handle that register_forward_hook returns has to be removed: hooks that stay collect with "
                          "every later pass")  # fmt: skip
        if left < 1 or not calls:
            raise Mistake("a hook that was there before left alone", "it is gone" if left < 1 else "it was not called",
                          "remove your own hooks only, by their handles, and let the net run as usual")  # fmt: skip

    def after_an_error(f: Callable[..., Any]) -> None:
        net = build()
        net.breaks_at = 1
        no_hook_after_an_error(net, lambda: apply(f, net, several, photos()), _FINALLY)

    with undisturbed():
        run_cases(
            "hooked_means",
            function,
            [
                Case("'layer2', 'layer1' and 'conv1', for batches of 4, 4 and 2 images", values),
                Case("'layer1.1.bn1', which a relu in place follows", overwritten),
                Case("the same from a generator as from a list", generator),
                Case("the number of forward passes, and no graph", passes),
                Case("nets in training mode, and in both modes", modes_kept),
                Case("hooks afterwards", hooks_gone),
                Case("hooks after the net raised an error", after_an_error),
            ],
            reread="section 5, 'From early to late', and the docstring: which pass, which average, and what must not stay",
        )

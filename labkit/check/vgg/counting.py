"""Checks of lab 06: how many parameters a layer has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from numbers import Integral
from typing import Any

import torch
from torch import nn
from torchvision.models import vgg16

from labkit.check.frame import Case, Mistake, run_cases, takes

_Row = tuple[Any, ...]
_POOL = "a pool has no parameters, but an entry in the list: 0"


def count_parameters(function: Callable[..., Any]) -> None:
    """Check `count_parameters(layers)`: -> a list of ints, compared with the sizes of torch's own layers."""

    def several() -> list[nn.Module]:
        return [nn.Conv2d(4, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 5, 1), nn.Conv2d(7, 6, 5), nn.MaxPool2d(2),
                nn.Linear(24, 7), nn.Linear(7, 3)]  # fmt: skip

    def whole() -> list[nn.Module]:
        with torch.device("meta"):  # sizes without memory
            net = vgg16(weights=None, init_weights=False)
        kinds = nn.Conv2d | nn.MaxPool2d | nn.Linear
        return [module for module in net.modules() if isinstance(module, kinds)]

    def row(module: nn.Module) -> _Row:
        if isinstance(module, nn.Conv2d):
            return "conv", module.in_channels, module.out_channels, module.kernel_size[0]
        return ("linear", module.in_features, module.out_features) if isinstance(module, nn.Linear) else ("pool",)

    def truth(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    def wrong(module: Any) -> dict[str, int]:
        """What well-known mistakes give for one layer."""
        if not isinstance(module, nn.Conv2d | nn.Linear):
            return {}
        w = module.weight
        b = len(w)
        found = {
            "the biases are missing: there is one for each output": w.numel(),
            "there is one bias for each output, not for each input": w.numel() + w.shape[1],
            "there is one bias for each output, not one for the layer": w.numel() + 1,
            "there is one bias for each output, not for each pair of input and output": w.numel() + w.shape[0] * w.shape[1],
        }
        if isinstance(module, nn.Conv2d):
            square = "a kernel has side * side numbers for each input channel, not"
            for lost, left in (("", b), (", and the biases are missing", 0)):
                found |= {
                    f"{square} side{lost}": w[..., 0].numel() + left,
                    f"{square} 2 * side{lost}": 2 * w[..., 0].numel() + left,
                    f"a kernel reaches through all input channels, with weights of its own for each{lost}":
                        w[:, 0].numel() + left,
                    f"there is one kernel for each output channel, not a single one{lost}": w[0].numel() + bool(left),
                    f"there is one kernel for each output channel, not a single one: the biases alone are right{lost}":
                        w[0].numel() + left}  # fmt: skip
        return found

    def listed(f: Callable[..., Any], layers: list[_Row]) -> Any:
        takes(f, "layers")
        out = f(layers)
        if not isinstance(out, list | tuple):
            cause = (
                "the function has no return statement" if out is None else
                "this may be the sum: give one number a layer" if getattr(out, "ndim", 0) == 0 and not hasattr(out, "__next__")
                else "return a list: .tolist() makes one" if hasattr(out, "tolist") else "return a list")  # fmt: skip
            raise Mistake("a list with one int for each layer", type(out).__name__, cause)
        return out

    def judge(f: Callable[..., Any], modules: Sequence[nn.Module]) -> None:
        layers, want = [row(module) for module in modules], [truth(module) for module in modules]
        out = listed(f, list(layers))
        if len(out) != len(want):
            pools = sum(layer == ("pool",) for layer in layers)
            cause = _POOL if len(out) == len(want) - pools else "give one number a layer, in the order of the layers"
            raise Mistake(f"{len(want)} numbers for {len(want)} layers", f"{len(out)}", cause)
        for number in out:
            if not isinstance(number, Integral):
                raise Mistake("ints", type(number).__name__, "a count is whole: multiply and add ints, without / or tensors")
        off = [i for i, number in enumerate(out) if number != want[i]]
        if not off:
            return
        i = off[0]
        kind = [modules[j] for j in off if layers[j][0] == layers[i][0]]
        given = [out[j] for j in off if layers[j][0] == layers[i][0]]
        cause = _POOL if layers[i] == ("pool",) else ""
        if list(out) == list(accumulate(want)):
            cause = "this is the running total: each entry is of its layer alone"
        for name in wrong(modules[i]):  # the first cause that explains all layers of this kind
            cause = cause or (name if [wrong(module)[name] for module in kind] == given else "")
        raise Mistake(f"{want[i]:,} for layer {i}, {layers[i]}", f"{out[i]:,}", cause)

    def again(f: Callable[..., Any]) -> None:
        layers = [row(module) for module in several()]
        given = list(layers)
        first = list(listed(f, given))
        if given != layers:
            raise Mistake("the list of layers unchanged", f"{len(given)} layers, for {len(layers)} before",
                          "read it in a loop rather than by pop() or del")  # fmt: skip
        second = list(listed(f, given))
        if second != first:
            raise Mistake("the same from a second call", f"{len(second)} numbers, for {len(first)} before",
                          "the list outlives the call: make it inside the function, and not as a default")  # fmt: skip

    run_cases(
        "count_parameters",
        function,
        [
            Case("convolutions with sides of 3, 1 and 5, pools, and linear layers", lambda f: judge(f, several())),
            Case("the layers of VGG16, with 138,357,544 in all", lambda f: judge(f, whole())),
            Case("a single convolution", lambda f: judge(f, [nn.Conv2d(3, 2, 5)])),
            Case("a single linear layer", lambda f: judge(f, [nn.Linear(5, 4)])),
            Case("a second call, and the list of layers", again),
        ],
        reread="section 1, on the layers of VGG16, and print(layer.weight.shape, layer.bias.shape) of one of them",
    )  # fmt: skip

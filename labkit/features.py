"""What the layers of a net say about images: captured, and pooled to one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from labkit import kept
from labkit.machine import autocast
from labkit.sets import Images, batches


@contextmanager
def capture(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Give a dict that each forward pass inside the context fills anew: layer -> what it put out.

    Layers are named as in `model.named_modules()`. Of a tuple or a ModelOutput the first tensor is taken, and of a layer
    that runs several times in a pass the last output. No in-place operation that follows changes a captured tensor, and
    the net's own output stays as it was. Captured tensors are part of the graph from input to output, so that
    `torch.autograd.grad(loss, maps[layer])` works. The hooks go on exit, also after an exception.

    Raises:
        ValueError: no layer is named, or the net has none of that name; the message lists similar names.
        TypeError: a layer puts out no tensor (in the forward pass).
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    names = _known(modules, layers)
    maps: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> Any:
        tensor, replaced = _opened(name, output)
        maps[name] = tensor.clone()  # what follows may overwrite the output itself, as an in-place ReLU does
        if not (torch.is_grad_enabled() and tensor.requires_grad):
            return None
        return replaced(maps[name].clone())  # the net goes on from here, so that gradients pass through

    hooks = [model.register_forward_pre_hook(lambda module, args: maps.clear())]
    try:
        for name in names:
            hooks.append(modules[name].register_forward_hook(lambda module, args, output, name=name: keep(name, output)))
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def pool(features: Tensor, dim: int) -> Tensor:
    """Average features to `dim` numbers an image, (N, dim), so that layers can be compared at one dimension.

    Maps (N, C, H, W) are averaged over the cells of the most square grid (h, w) with C*h*w == dim; of two such grids the
    one with h < w. A net whose width doubles from stage to stage thus gives each stage the same number: for 256, 32
    channels keep 2x4 cells, 64 keep 2x2, 128 keep 1x2 and 256 a single one. Tokens (N, T, C) are averaged over all T, a
    class token among them, when C == dim, and vectors (N, C) pass through.

    Raises:
        ValueError: this shape cannot give `dim` numbers; the message says which it can.
    """
    shape = tuple(features.shape)
    x = features if features.dtype == torch.float64 else features.float()
    if x.ndim == 2 or x.ndim == 3:
        if shape[-1] == dim:
            return x if x.ndim == 2 else x.mean(1)
        raise ValueError(f"features {shape} cannot be pooled to {dim} numbers: use dim={shape[-1]}")
    if x.ndim != 4:
        raise ValueError(f"features have shape {shape}: give (N, C, H, W), (N, T, C) or (N, C)")
    _, channels, height, width = shape
    grids: dict[int, tuple[int, int]] = {}
    for h in range(1, height + 1):
        for w in range(1, width + 1):
            best = grids.get(channels * h * w)
            if best is None or max(h, w) < max(best):  # at equal cells the shorter long side is the more square
                grids[channels * h * w] = (h, w)
    if dim not in grids:
        near = ", ".join(map(str, sorted(sorted(grids, key=lambda size: (abs(size - dim), size))[:8])))
        raise ValueError(f"features {shape} cannot be pooled to {dim} numbers: nearest are {near}; more only with dim=None")
    if x.device.type == "mps":  # where grids that don't divide the map are not supported
        return adaptive_avg_pool2d(x.cpu(), grids[dim]).flatten(1).to(x.device)
    return adaptive_avg_pool2d(x, grids[dim]).flatten(1)


def extract(
    model: nn.Module,
    images: Images,
    layers: Iterable[str],
    *,
    prepare: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 256,
    dim: int | None = None,
    cache: bool = True,
    device: torch.device | str | None = None,
) -> dict[str, Tensor]:
    """Run all images through the net once, in evaluation mode, and give each layer's features: float32 on the CPU.

    Features are (N, dim), averaged as `pool` does, or whole, (N, ...), when `dim` is None. `prepare` maps a float batch
    (B, C, H, W), 0..1, to what the net takes, on the device where the net is (a net without parameters: `device`, or the
    CPU). On a GPU the net runs under bfloat16 autocast. The mode of every submodule is put back, also after an exception.

    Results are kept in the cache under a hash of weights and buffers, the net's code and attributes, the pixels, the
    layers, `dim` and `prepare`. A net that carries hooks or a `forward` of its own is never looked up, nor is one with a
    `prepare` that cannot be told from another: that takes a `cache_key`, or a frozen dataclass; a plain function or lambda
    has neither. Give cache=False for a net that draws at random in evaluation mode, or that calls code of other modules
    which you are editing.

    Raises:
        ValueError: a layer is unknown, does not run, has no axis of images, or cannot be pooled to `dim`; there are no
            images, or `device` is not where the net is.
    """
    names = _known(dict(model.named_modules(remove_duplicate=False)), layers)
    if len(images) == 0:
        raise ValueError(f"{images.name} ({images.split}) holds no images: give at least one")
    device = _device(model, device)
    entry = kept.entry_for(model, prepare, images.pixels, sorted(names), dim, device.type) if cache else None
    features = kept.read(entry, names) if entry else None
    if features is None:
        floats = (x.to(device) for x, _ in batches(images, batch_size=batch_size))
        features = _one_pass(model, map(prepare, floats) if prepare else floats, len(images), names, dim)
        if entry:
            kept.write(entry, features)
    return features


def _one_pass(model: nn.Module, inputs: Iterator[Tensor], n: int, names: list[str], dim: int | None) -> dict[str, Tensor]:
    features: dict[str, Tensor] = {}
    modes = [(module, module.training) for module in model.modules()]
    first = 0
    try:
        for module, _ in modes:  # not model.eval(): a net may have made that do more, which could not be put back
            module.training = False
        # no_grad, since a head can't be trained on tensors that were made in inference mode
        with torch.no_grad(), capture(model, names) as maps:
            for x in inputs:
                with autocast(x.device):
                    model(x)
                part = slice(first, first + len(x))
                first = part.stop
                for name in names:
                    if name not in maps:
                        raise ValueError(f"layer {name!r} does not run when the net is called: name one that does")
                    found = maps[name]
                    if found.ndim < 2 or len(found) != len(x):
                        shape = f"layer {name!r} gives {tuple(found.shape)} for {len(x)} images"
                        raise ValueError(f"{shape}: name a layer whose first axis is the images and that has another")
                    found = (found if dim is None else pool(found, dim)).float().cpu()
                    if name not in features:
                        features[name] = torch.empty(n, *found.shape[1:])
                    features[name][part] = found
    finally:
        for module, mode in modes:
            module.training = mode
    return features


def _known(modules: Mapping[str, nn.Module], layers: Iterable[str]) -> list[str]:
    if isinstance(layers, str):
        raise ValueError(f"layers is the string {layers!r}: give a list, [{layers!r}]")
    names = list(dict.fromkeys(layers))
    if not names:
        raise ValueError("no layer is named: give at least one of model.named_modules()")
    for name in names:
        if name not in modules:
            near = get_close_matches(str(name), list(modules), n=4, cutoff=0.5) or [key for key in modules if key][:8]
            raise ValueError(f"the net has no layer {name!r}: did you mean one of {', '.join(near)}?")
    return names


def _device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    tensor = next(chain(model.parameters(), model.buffers()), None)
    there = torch.device(device or "cpu") if tensor is None else tensor.device
    wanted = torch.device(device or there)
    if wanted.type != there.type or (wanted.index is not None and wanted.index != there.index):
        raise ValueError(f"the net is on {there}, device says {wanted}: use model.to({str(wanted)!r}) first, or leave it out")
    return there


def _opened(name: str, output: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """The first tensor of an output, and how to make that output with another tensor in its place."""
    if isinstance(output, Tensor):
        return output, lambda tensor: tensor
    if isinstance(output, Mapping | tuple | list):
        for where, item in output.items() if isinstance(output, Mapping) else enumerate(output):
            if isinstance(item, Tensor):
                return item, partial(_replaced, output, where)
    raise TypeError(f"layer {name!r} puts out {type(output).__name__} without a tensor: name a layer inside it")


def _replaced(output: Any, where: Any, tensor: Tensor) -> Any:
    if isinstance(output, tuple):
        items = (*output[:where], tensor, *output[where + 1 :])
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    output = copy(output)
    output[where] = tensor
    return output

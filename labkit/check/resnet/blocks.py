"""Checks of lab 01: a residual block without its skip."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes
from labkit.check.nets import call, hooks, modes, moved, settle, some, state, undisturbed


class _Nothing(nn.Module):
    """A shortcut through which nothing comes."""

    def forward(self, x: Tensor) -> Tensor:
        """Zero."""
        return x.new_zeros(())


class _Relu(nn.Module):
    """The relu of a block, which it calls several times, with some calls left out."""

    def __init__(self, *left_out: int) -> None:
        super().__init__()
        self.left_out, self.calls = left_out, 0

    def forward(self, x: Tensor) -> Tensor:
        """Rectify, unless this call is left out."""
        self.calls += 1
        return x if self.calls in self.left_out else x.clamp(min=0)


def no_skip(function: Callable[..., Any]) -> None:
    """Check `no_skip(block, x)`: (B, C, H, W) -> relu(F(x)), compared with torchvision's forward and a shortcut of zeros."""

    def blocks(kind: type[Bottleneck] | type[BasicBlock]) -> list[tuple[Any, Tensor]]:
        """A block with the identity, and one with stride 2 and a projection; each with an input."""
        width = 3 * kind.expansion
        project = nn.Sequential(nn.Conv2d(8, width, 1, stride=2, bias=False), nn.BatchNorm2d(width))
        plain, strided = kind(width, 3), kind(8, 3, stride=2, downsample=project)
        settle(plain, 9).eval(), settle(strided, 1).eval()
        return [(plain, draw(2, width, 6, 6, seed=30)), (strided, draw(2, 8, 6, 6, seed=31))]

    def cut(block: Any, **parts: nn.Module) -> Any:
        """A copy of a block without its shortcut, and with other parts replaced."""
        twin = copy.deepcopy(block)
        twin.downsample = _Nothing()
        for name, part in parts.items():
            setattr(twin, name, part)
        return twin

    def known(block: Any, x: Tensor) -> dict[str, Tensor]:
        """What well-known mistakes give."""
        norms = [name for name, _ in block.named_children() if name.startswith("bn")]
        last, relus = norms[-1], len(norms)
        whole, right = copy.deepcopy(block)(x), cut(block)(x)
        f = cut(block, relu=_Relu(relus))(x)
        shortcut = x if block.downsample is None else copy.deepcopy(block.downsample)(x)
        first = {name: nn.Sequential(_Relu(), copy.deepcopy(getattr(block, name))) for name in norms}
        none = {name: nn.Identity() for name in norms}
        only = "the shortcut is still added" if block.downsample is None else (
            "the shortcut is still added: the projection in downsample is a shortcut, too")  # fmt: skip
        found = {
            only: whole,
            "the last relu is missing: this is F(x)": f,
            "the relu after bn1 is missing": cut(block, relu=_Relu(1))(x),
            "all relus but the last are missing": cut(block, relu=_Relu(*range(1, relus)))(x),
            "all relus are missing": cut(block, relu=_Relu(*range(1, relus + 1)))(x),
            f"{last} is missing: F ends with it": cut(block, **{last: nn.Identity()})(x),
            "the batch norms are missing": cut(block, **none)(x),
            "relu and batch norm are in the wrong order: batch norm comes first":
                cut(block, relu=_Relu(*range(1, relus)), **{name: first[name] for name in norms[:-1]})(x),
            "relu and batch norm are in the wrong order: batch norm comes first, the last one too":
                cut(block, relu=_Relu(*range(1, relus)), **first)(x),
            f"there is no relu before {last}": cut(block, **{last: first[last]})(x),
            "the shortcut is added after the last relu": right + shortcut,
            "the shortcut is still added, and the last relu is missing": f + shortcut,
            "the shortcut was subtracted from the block's output: its relu had cut values off already, and they do not come "
            "back": whole - shortcut,
            "the shortcut was subtracted from the block's output, and relu taken again: the first relu had cut values off "
            "already, and they do not come back": (whole - shortcut).clamp(min=0),
            "the shortcut is subtracted: it is to be left out": (f - shortcut).clamp(min=0),
            "F was left out and the shortcut kept: it is the other way round": shortcut.clamp(min=0),
            "F was left out and the shortcut kept (without relu): it is the other way round": shortcut,
        }  # fmt: skip
        if relus == 3:
            found["the relu after bn2 is missing"] = cut(block, relu=_Relu(2))(x)
            found["a Bottleneck has a third pair, conv3 and bn3"] = cut(block, conv3=nn.Identity(), bn3=nn.Identity())(x)
        return found

    def apply(f: Callable[..., Any], block: Any, x: Tensor) -> Any:
        takes(f, "block", "x")
        third = "a BasicBlock has two convolutions and two batch norms only: hasattr(block, 'conv3') tells them apart"
        shape = "something of another shape is added to F(x), or subtracted: where there is a stride, x itself is no shortcut"
        return call(f, block, x, hints={"attribute 'conv3'": third, "attribute 'bn3'": third,
                                        "must match the size of tensor": shape,
                                        "'NoneType' object is not callable": "downsample is None where the shortcut is the "
                                        "identity; and here no shortcut is needed"})  # fmt: skip

    def compared(f: Callable[..., Any], block: Any, x: Tensor) -> None:
        spare = copy.deepcopy(block)
        judge(apply(f, block, x.clone()), spare, x)

    def judge(got: Any, block: Any, x: Tensor) -> None:
        """Compare with what the block would give without its shortcut, and look for the cause only if that differs."""
        want = cut(block)(x)
        try:
            compare(got, want)
        except Mistake:
            compare(got, want, known=known(block, x))

    def bottleneck(f: Callable[..., Any]) -> None:
        compared(f, *blocks(Bottleneck)[0])

    def projection(f: Callable[..., Any]) -> None:
        compared(f, *blocks(Bottleneck)[1])

    def basic(f: Callable[..., Any]) -> None:
        for block, x in blocks(BasicBlock):
            compared(f, block, x)

    def training(f: Callable[..., Any]) -> None:
        block, x = blocks(Bottleneck)[0]
        evaluated = cut(block)(x)
        spare = copy.deepcopy(block.train())
        got = apply(f, block, x.clone())
        if not all(modes(block).values()):
            raise Mistake("the block's mode as it was", "evaluation mode", "leave the mode alone: no .eval()")
        if torch.is_tensor(got) and got.shape == evaluated.shape and torch.allclose(got, evaluated):
            raise Mistake("batch norm by the statistics of the batch", "by the stored ones",
                          "the batch norms were in evaluation mode: leave the block in the mode in which it is")  # fmt: skip
        judge(got, spare, x)

    def left_alone(f: Callable[..., Any]) -> None:
        for kind in (Bottleneck, BasicBlock):
            for block, x in blocks(kind):
                values, mode, parts, shortcut = state(block), modes(block), dict(block.named_modules()), block.downsample
                given, answer = x.clone(), copy.deepcopy(block)(x)
                apply(f, block, given)
                if not torch.equal(given, x):
                    raise Mistake("x unchanged", "changed values", "an operation in place on x: a name ending in _, a +=, or "
                                  "the block's relu, which works in place, on x itself")  # fmt: skip
                if block.downsample is not shortcut:
                    raise Mistake("block.downsample as it was", type(block.downsample).__name__,
                                  "the shortcut was taken out of the block for good: put it back, or rather call the "
                                  "layers one by one")  # fmt: skip
                after = dict(block.named_modules())
                swapped = [name for name in {**parts, **after} if parts.get(name) is not after.get(name)]
                if swapped or hooks(block):
                    raise Mistake("the block's own modules, without hooks", f"{some(swapped) or 'hooks'} changed",
                                  "the block is to be used as it is: what you replace or hook must be put back")  # fmt: skip
                if moved(block, values):
                    raise Mistake("weights and statistics unchanged", f"{some(moved(block, values))} changed",
                                  "a weight was set, as if to switch the shortcut off: simply do not add it")  # fmt: skip
                if modes(block) != mode:
                    raise Mistake("the block's mode as it was", "training mode", "leave the mode alone: no .train()")
                if not torch.equal(block(x), answer):
                    raise Mistake("the block's own forward() to give what it gave before", "other values",
                                  "block.forward was replaced and not put back")  # fmt: skip

    with undisturbed():
        run_cases(
            "no_skip",
            function,
            [
                Case("a Bottleneck whose shortcut is the identity", bottleneck),
                Case("a Bottleneck with stride 2 and a projection", projection),
                Case("BasicBlocks, without and with a projection", basic),
                Case("a Bottleneck in training mode", training),
                Case("the blocks and x are left as they were", left_alone),
            ],
            reread="section 3, 'What the skips are for', and torchvision's forward() of the block, before and after its sum",
        )

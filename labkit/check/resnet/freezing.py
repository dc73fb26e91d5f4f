"""Checks of lab 01: what trains, and what is frozen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from labkit.check.frame import Case, Mistake, draw, run_cases, takes
from labkit.check.nets import call, modes, moved, settle, some, state, undisturbed

_STATISTICS = (
    "requires_grad stops gradients only: in training mode batch norm takes new running statistics in every forward pass. "
    "Put what is frozen into evaluation mode, and call no net.train() after that"
)
_STORED = "frozen batch norm is to use its stored statistics, not those of the batch: .eval(), and no net.train() after it"
_FREE = "a part may have been frozen before: requires_grad_(True) and .train() on each part"
_GENERATOR = "it can be read once, by the first optimiser, and is empty after that: return a list"


def train_only(function: Callable[..., Any]) -> None:
    """Check `train_only(net, parts)`: -> the list of the trainable parameters; all else is frozen, statistics included."""

    def build() -> nn.Sequential:
        def stage() -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.25))

        layers = OrderedDict(
            conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4), layer1=stage(), layer10=stage(),
            layer4=nn.Sequential(stage(), stage()), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
            fc=nn.Linear(4, 6), fc2=nn.Linear(6, 3))  # fmt: skip
        return settle(nn.Sequential(layers))

    def inside(name: str, parts: Sequence[str]) -> bool:
        return any(f"{name}.".startswith(f"{part}.") for part in parts)

    def freed(net: nn.Module) -> list[str]:
        return [name for name, parameter in net.named_parameters() if parameter.requires_grad]

    def apply(f: Callable[..., Any], net: nn.Module, parts: list[str]) -> Any:
        takes(f, "net", "parts")
        dots = "a part may be nested, such as 'layer4.1': net.get_submodule(name) follows the dots, getattr does not"
        return call(f, net, parts, hints={"'layer4.1'": dots})

    def listed(out: Any, net: nn.Module) -> list[str]:
        """Names of the parameters that were returned."""
        if not isinstance(out, list | tuple):
            cause = ("the function has no return statement" if out is None else
                     _GENERATOR if hasattr(out, "__next__") else "optimisers take a list of parameters")  # fmt: skip
            raise Mistake("a list of parameters", type(out).__name__, cause)
        names = {id(parameter): name for name, parameter in net.named_parameters()}
        for part in out:
            if id(part) not in names:
                cause = ("these are names: an optimiser takes the parameters" if isinstance(part, str) else
                         "named_parameters() gives pairs: keep the parameters alone" if isinstance(part, tuple) else
                         "return the net's own parameters, no modules and no copies")  # fmt: skip
                raise Mistake("a list of the net's parameters", f"a list with an element of type {type(part).__name__}", cause)
        return [names[id(part)] for part in out]

    def same(have: list[str], net: nn.Module, parts: list[str], what: str) -> None:
        """Compare names of parameters with those inside the parts."""
        every = [name for name, _ in net.named_parameters()]
        want = [name for name in every if inside(name, parts)]
        extra, missing = [n for n in have if n not in want], [n for n in want if n not in have]
        if extra or missing:
            normed = [n for n in every if isinstance(net.get_submodule(n.rpartition(".")[0]), nn.BatchNorm2d)]
            if not have:
                cause = f"nothing is left to train. Parameters are called 'fc.weight', parts 'fc'; and {_FREE}"
            elif set(have) == set(every):
                cause = "these are all parameters of the net: freeze all, then free what is inside the parts"
            elif extra and all(n.startswith(tuple(parts)) for n in extra):
                cause = "names that begin alike were mixed up: 'fc2.weight' begins with 'fc', too, but is not inside it"
            elif extra and set(extra) <= set(normed):
                cause = "batch norm has parameters as well, its weight and bias: freeze all parameters, of whatever layer"
            elif what == "parameters" and not extra and all(net.get_parameter(n).requires_grad for n in missing):
                cause = "these train, but are missing from the list: an optimiser would leave them as they are"
            elif missing and not extra and any("." in part for part in parts):
                cause = (
                    "a part may be nested, such as 'layer4.1': the part's whole name counts, not what is before the first dot"
                )
            elif missing and not extra:
                cause = _FREE
            else:
                cause = "freeze all of the net first, whatever was trainable before, and then free the parts"
            off = ", ".join(f"{word} {some(names)}" for word, names in (("with", extra), ("without", missing)) if names)
            raise Mistake(f"{len(want)} {what}, those inside {some(parts)}", f"{len(have)}, {off}", cause)
        if len(set(have)) < len(have):
            raise Mistake("each parameter once", f"{len(have)} entries for {len(set(have))} parameters",
                          "parts overlap, so that parameters were collected twice, of which an optimiser warns: "
                          "go through net.parameters() once, at the end")  # fmt: skip

    def returned(f: Callable[..., Any]) -> None:
        net, parts = build(), ["layer1", "fc"]
        same(listed(apply(f, net, parts), net), net, parts, "parameters")

    def gradients(f: Callable[..., Any]) -> None:
        net, parts = build(), ["layer1", "fc"]
        apply(f, net, parts)
        same(freed(net), net, parts, "parameters that require a gradient")

    def nested(f: Callable[..., Any]) -> None:
        for parts in (["layer4.1", "fc2"], ["layer4", "layer4.1"]):
            net = build()
            out = apply(f, net, parts)
            same(freed(net), net, parts, "parameters that require a gradient")
            if isinstance(out, list | tuple):
                same(listed(out, net), net, parts, "parameters")

    def again(f: Callable[..., Any]) -> None:
        net = build()
        net.requires_grad_(False)
        for parts in (["layer4"], ["fc"], ["layer4", "fc"]):
            apply(f, net, parts)
            same(freed(net), net, parts, "parameters that require a gradient")

    def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01)

    def step(net: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
        loss = cross_entropy(net(draw(6, 3, 6, 6, seed=seed)), torch.arange(6) % 3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def trained(f: Callable[..., Any]) -> None:
        net, parts = build().train(), ["layer4"]
        step(net, sgd(net.parameters()), seed=1)  # gradients are left over from this
        before = state(net)
        out = apply(f, net, parts)
        own = {id(parameter): parameter for parameter in net.parameters()}
        if isinstance(out, list | tuple) and out and all(id(part) in own for part in out):
            own = {id(part): part for part in out}
        if not freed(net):
            raise Mistake("a part that trains", "no parameter that requires a gradient", _FREE)
        optimiser = sgd(own.values())
        for seed in (2, 3, 4):
            step(net, optimiser, seed)
        changed = [name for name in moved(net, before) if not inside(name, parts)]
        statistics = [name for name in changed if "running" in name or "batches" in name]
        if statistics:
            raise Mistake("what is frozen unchanged after three steps", f"{some(statistics)} changed", _STATISTICS)
        if changed:
            raise Mistake("what is frozen unchanged after three steps", f"{some(changed)} changed",
                          "parameters outside the parts require a gradient, or were given to the optimiser")  # fmt: skip
        still = [name for name, _ in net.named_parameters() if inside(name, parts) and torch.equal(
            before[name], net.state_dict()[name])]  # fmt: skip
        if still:
            raise Mistake("all parameters of the part changed after three steps", f"{some(still)} did not", _FREE)

    def switched(f: Callable[..., Any]) -> None:
        for start in (True, False):
            net, parts = build().train(start), ["layer4.1", "fc"]
            apply(f, net, parts)
            kinds = {name: type(m) for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)}
            on = [name for name, mode in modes(net).items() if mode and name in kinds]
            wrong = [name for name in on if not inside(name, parts)]
            off = [name for name in kinds if inside(name, parts) and name not in on]
            if any(kinds[name] is nn.BatchNorm2d for name in wrong):
                raise Mistake("frozen modules in evaluation mode", f"training mode in {some(wrong)}", _STORED)
            if wrong:
                raise Mistake("frozen modules in evaluation mode", f"training mode in {some(wrong)}, dropout",
                              "batch norm is not the only layer with a mode: frozen dropout would go on changing what "
                              "the frozen part computes, so call .eval() on all of it")  # fmt: skip
            if off:
                raise Mistake("the parts in training mode", f"evaluation mode in {some(off)}",
                              "the parts train: their own batch norm takes new statistics and their dropout is on. Call "
                              ".train() on each part, last, also if the net came in evaluation mode")  # fmt: skip

    def unknown(f: Callable[..., Any]) -> None:
        try:
            f(build(), ["layer5", "fc"])
        except Exception:
            return
        raise Mistake("an error for 'layer5', which the net does not have", "no error",
                      "with a name that matches nothing, less trains than you believe: net.get_submodule(name) "
                      "raises an error")  # fmt: skip

    with undisturbed():
        run_cases(
            "train_only",
            function,
            [
                Case("the list, for 'layer1' and 'fc' (the net has 'layer10' and 'fc2', too)", returned),
                Case("what requires a gradient, for 'layer1' and 'fc'", gradients),
                Case("nested parts: 'layer4.1', and 'layer4' with 'layer4.1'", nested),
                Case("three calls in a row on a net that was frozen", again),
                Case("three steps of training, with momentum and weight decay", trained),
                Case("the modes of batch norm and dropout, for 'layer4.1' and 'fc'", switched),
                Case("a name that the net does not have", unknown),
            ],
            reread="section 1, 'What freezing must mean': a frozen layer has no gradient, and computes the same as before",
        )

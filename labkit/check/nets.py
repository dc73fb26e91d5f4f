"""What checks need of a net: known weights, what must stay as it was, and errors with their cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from labkit.check.frame import Mistake, draw

Net = TypeVar("Net", bound=nn.Module)


class Broken(Exception):
    """What a net of a check raises on purpose."""

    def __str__(self) -> str:
        return "this net breaks on purpose, to see what is left behind"


class Log(list[Any]):
    """Notes of a net, which its copies share."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Log:
        return self


def settle(net: Net, seed: int = 0) -> Net:
    """Turn a net to float64 and draw its parameters and the statistics of its batch norms, so that each of them matters."""
    for i, (name, values) in enumerate(net.double().state_dict().items()):
        if values.is_floating_point():
            drawn = draw(*values.shape, seed=1000 * seed + i)
            if name.endswith("running_var"):
                drawn = 0.5 + drawn.abs()
            elif values.ndim > 1:
                drawn = drawn / values[0].numel() ** 0.5
            elif not name.endswith("weight"):
                drawn = drawn / 3  # so that relus see both signs
            values.copy_(drawn)
    return net


def modes(net: nn.Module) -> dict[str, bool]:
    """Which modules are in training mode, by name; the net itself is ''."""
    return {name: module.training for name, module in net.named_modules()}


def state(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, by name."""
    return {name: values.clone() for name, values in net.state_dict().items()}


def moved(net: nn.Module, before: Mapping[str, Tensor]) -> list[str]:
    """The parameters and buffers that are not, to the bit, what they were."""
    return [name for name, values in net.state_dict().items() if not torch.equal(values, before[name])]


def hooks(net: nn.Module) -> int:
    """How many hooks are on the modules of a net."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in net.modules() for kind in kinds)


def some(names: list[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


GRADIENTS_OFF = "a set_grad_enabled(False) that nobody takes back: use a `with` block"


def call(function: Callable[..., Any], *args: Any, hints: Mapping[str, str]) -> Any:
    """Call a student's function, with gradients on however the last call left them.

    `hints` maps words of an error's message to the likely cause.

    Raises:
        Mistake: an error has such words. Other errors pass through.
    """
    try:
        with torch.enable_grad():
            return function(*args)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        for words, cause in hints.items():
            if words in text:
                raise Mistake("no error", text.splitlines()[0], cause) from None
        raise


def call_watched(function: Callable[..., Any], *args: Any, hints: Mapping[str, str]) -> Any:
    """Call a student's function as `call` does, and see that it leaves gradients on.

    Raises:
        Mistake: an error has words of the hints, or gradients are off afterwards.
    """

    def watched(*args: Any) -> Any:
        out = function(*args)
        if not torch.is_grad_enabled():
            raise Mistake("gradients on again after the function", "gradients off", GRADIENTS_OFF)
        return out

    return call(watched, *args, hints=hints)


def gradients_as_before(net: nn.Module, enabled: list[bool]) -> None:
    """See that a function left gradients on, noted in `enabled` once after its call, and no parameter frozen.

    Raises:
        Mistake: it switched gradients off and left them so, or froze the net.
    """
    if enabled != [True]:
        raise Mistake("gradients on again after the function", "gradients off", GRADIENTS_OFF)
    if not all(parameter.requires_grad for parameter in net.parameters()):
        cause = "the net is to stay as it was: torch.no_grad() rather than requires_grad_(False)"
        raise Mistake("requires_grad as it was", "parameters that are frozen now", cause)


def no_hook_after_an_error(net: nn.Module, run: Callable[[], Any], cause: str) -> None:
    """Run what makes a net raise `Broken`, and see that the error arrives and that no hook is left on the net.

    Raises:
        Mistake: a hook is left, for which `cause` is given, or the error was swallowed.
    """
    try:
        run()
    except Broken:
        if hooks(net):
            raise Mistake("no hook left on the net", f"{hooks(net)} left", cause) from None
    else:
        raise Mistake("the net's error to arrive at the caller", "a result", "an `except:` swallowed it: use `finally:`")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a check be the same each time, and leave the notebook's random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield

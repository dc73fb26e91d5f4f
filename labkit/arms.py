"""Arms together: nets of one shape, for several settings and seeds, trained as one with stacked parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap

from labkit.machine import local_seed


class Arms:
    """A stack of `arms` x `seeds` nets of one shape that are called, differentiated and stepped in one go.

    `make()` builds one net. It is called under each seed, and the arms of a seed start from the same weights, so that
    differences between arms are paired by seed. A call takes tensors (arms, seeds, ...), where 1 stands for 'the same
    for all', and returns tensors (arms, seeds, ...); inside, each net sees the trailing dimensions only.

        net = Arms(lambda: nn.Linear(4, 2), arms=3, seeds=(0, 1))
        net(torch.randn(1, 1, 8, 4)).shape            # (3, 2, 8, 2)

    A stacked Adam or SGD step equals the separate steps, since both work element by element; gradient clipping by norm
    does not (`Run.step` has a `clip` that does). Dropout draws another mask for every net, which loosens the pairing.

    `one_by_one=True` calls the nets in turn: the same results but for dropout's masks, faster for convolutions on a CPU.

    Source: torch.func, 'model ensembling'.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        *,
        arms: int = 1,
        seeds: Sequence[int] = (0,),
        device: torch.device | str = "cpu",
        one_by_one: bool = False,
    ) -> None:
        if arms < 1 or not seeds:
            raise ValueError(f"{arms} arms and {len(seeds)} seeds: at least one of each is needed")
        nets = []
        for seed in seeds:
            with local_seed(seed):
                nets.append(make())
        self.seeds, self.lead = tuple(seeds), (arms, len(seeds))
        self.device = torch.device(device)
        params, buffers = stack_module_state([copy.deepcopy(net) for _ in range(arms) for net in nets])  # type: ignore[arg-type]
        self._params = {k: v.detach().to(device).requires_grad_(v.requires_grad) for k, v in params.items()}
        self._buffers = {k: v.to(device) for k, v in buffers.items()}
        self._template = nets[0]
        self._one_by_one = one_by_one
        self._use(nets[0])

    def _use(self, net: nn.Module) -> None:
        """Make the skeleton, a copy of a net in which the weights of each net of the stack take their places in turn."""
        self._skeleton = copy.deepcopy(net)  # not on 'meta': that would untie tied weights
        names = {id(value): name for name, value in (*self._skeleton.named_parameters(), *self._skeleton.named_buffers())}
        order = [*self._params, *self._buffers]
        self._places: list[tuple[dict[str, Any], str, int]] = [
            (values, key, order.index(names[id(value)]))
            for module in self._skeleton.modules()
            for values in (cast(dict[str, Any], module._parameters), cast(dict[str, Any], module._buffers))
            for key, value in values.items()
            if value is not None
        ]

    def _one(self, *tensors: Tensor) -> Any:
        """Call the skeleton with one net's weights, which come before the inputs.

        torch.func.functional_call does the same, at such a cost for nets this small that a whole training takes a tenth longer.
        """
        before = [values[key] for values, key, _ in self._places]
        try:
            for values, key, index in self._places:
                values[key] = tensors[index]
            return self._skeleton(*tensors[len(self._params) + len(self._buffers) :])
        finally:
            for (values, key, _), value in zip(self._places, before, strict=True):
                values[key] = value

    def _in_turn(self, *tensors: Tensor) -> Any:
        outs = [self._one(*one) for one in zip(*(x.unbind(0) for x in tensors), strict=True)]
        if isinstance(outs[0], Tensor):
            return torch.stack(outs)
        return tuple(torch.stack(part) for part in zip(*outs, strict=True))

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run every net on its own slice: (arms | 1, seeds | 1, ...) -> (arms, seeds, ...).

        A net that gives several tensors makes this a tuple of them.
        """
        flat = []
        for x in inputs:
            if x.ndim < 2 or any(n not in (1, m) for n, m in zip(x.shape[:2], self.lead, strict=True)):
                raise ValueError(
                    f"an input has shape {tuple(x.shape)}: it must begin with (arms, seeds) = {self.lead}, or 1 in their place"
                )
            flat.append(x.expand(*self.lead, *x.shape[2:]).flatten(0, 1))
        # made anew in each call: if it were kept, a deep copy would call the nets of the original
        call = self._in_turn if self._one_by_one else vmap(self._one, randomness="different")
        out = call(*self._params.values(), *self._buffers.values(), *flat)
        if isinstance(out, Tensor):
            return out.unflatten(0, self.lead)
        return tuple(part.unflatten(0, self.lead) for part in out)

    def parameters(self) -> Iterator[Tensor]:
        """The stacked parameters, each (arms * seeds, ...), for an optimiser."""
        return iter(self._params.values())

    def train(self, mode: bool = True) -> Arms:
        """Switch dropout and the like on or off."""
        self._skeleton.train(mode)
        return self

    def eval(self) -> Arms:
        """Switch to evaluation mode."""
        return self.train(False)

    def pick(self, arms: Sequence[int]) -> Arms:
        """A new stack with copies of the weights of some arms (positions; one may come twice), for all seeds.

        Raises:
            ValueError, IndexError: there is no position, or one that this stack does not have.
        """
        if not arms:
            raise ValueError("no arms to pick: name at least one position")
        for arm in arms:
            if not -self.lead[0] <= arm < self.lead[0]:
                raise IndexError(f"arm {arm}: this stack has {self.lead[0]} arms, count from 0")
        chosen = copy.copy(self)
        chosen.lead = (len(arms), self.lead[1])
        rows = torch.tensor([a * self.lead[1] + s for a in (range(self.lead[0])[a] for a in arms) for s in range(self.lead[1])])
        rows = rows.to(self.device)
        chosen._params = {k: v.detach()[rows].clone().requires_grad_(v.requires_grad) for k, v in self._params.items()}
        chosen._buffers = {k: v[rows].clone() for k, v in self._buffers.items()}
        chosen._use(self._skeleton)
        return chosen

    def net(self, arm: int = 0, seed: int = 0) -> nn.Module:
        """A plain module with a copy of the weights of one arm and one seed (both are positions)."""
        index = range(self.lead[0])[arm] * self.lead[1] + range(self.lead[1])[seed]
        one = copy.deepcopy(self._template).to(self.device)
        stacked = {**self._params, **self._buffers}
        with torch.no_grad():  # not load_state_dict, which knows no buffers that are not persistent
            for name, value in (*one.named_parameters(), *one.named_buffers()):
                value.copy_(stacked[name][index])
        return one.train(self._skeleton.training)

    def state_dict(self) -> dict[str, Tensor]:
        """Stacked parameters and buffers by name."""
        return {**{k: v.detach() for k, v in self._params.items()}, **self._buffers}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy stacked parameters and buffers in place, so that an optimiser keeps its hold on them.

        Raises:
            ValueError: they are of another net.
        """
        mine = {**self._params, **self._buffers}
        if set(mine) != set(state):
            raise ValueError(f"these weights are of another net: they differ in {sorted(set(mine) ^ set(state))}")
        with torch.no_grad():
            for name, value in mine.items():
                value.copy_(state[name])

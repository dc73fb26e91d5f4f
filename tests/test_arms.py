"""Arms together: what is trained at once is what would have been trained in turn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from labkit.arms import Arms


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    ).double()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("make", "shape"), [(mlp, (6,)), (conv, (1, 4, 4))], ids=["mlp", "conv"])
def test_arms_trained_at_once_end_where_nets_trained_in_turn_end(make, shape, optimizer):
    weights, seeds = torch.tensor([0.5, 1.0, 4.0], dtype=torch.double), (3, 8)  # the arms differ in a factor of the loss
    net = Arms(make, arms=3, seeds=seeds).eval()
    alone = [[net.net(arm, seed) for seed in range(2)] for arm in range(3)]
    rng = torch.Generator().manual_seed(0)
    data = torch.randn(6, 1, 2, 4, *shape, generator=rng, dtype=torch.double)  # (steps, 1, seeds, B, ...)
    together = OPTIMIZERS[optimizer](net.parameters())
    for x in data:
        loss = net(x).square().mean((-1, -2)) * weights[:, None] + net(x).sin().mean((-1, -2))
        together.zero_grad()
        loss.sum().backward()
        together.step()
    for arm in range(3):
        for seed in range(2):
            one = alone[arm][seed]
            own = OPTIMIZERS[optimizer](one.parameters())
            for x in data[:, 0, seed]:
                own.zero_grad()
                (one(x).square().mean() * weights[arm] + one(x).sin().mean()).backward()
                own.step()
            for name, value in net.net(arm, seed).state_dict().items():
                assert torch.allclose(value, one.state_dict()[name], rtol=1e-9, atol=1e-12), (arm, seed, name)
    assert not torch.allclose(net.net(0, 0)[0].weight, net.net(2, 0)[0].weight)  # the arms did part


def test_arms_of_a_seed_start_from_the_weights_that_the_seed_gives_and_seeds_differ():
    before = torch.get_rng_state()
    net = Arms(mlp, arms=2, seeds=(5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    for position, seed in enumerate((5, 6)):
        torch.manual_seed(seed)
        expected = mlp().state_dict()
        for arm in range(2):
            got = net.net(arm, position).state_dict()
            assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert not torch.equal(net.net(0, 0)[0].weight, net.net(0, 1)[0].weight)
    torch.set_rng_state(before)


@pytest.mark.parametrize("lead", [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_each_net_sees_its_own_slice_and_a_net_taken_out_gives_the_same(lead):
    net = Arms(mlp, arms=3, seeds=(0, 1)).eval()
    for i, value in enumerate(net.parameters()):  # let all six nets differ
        value.data += torch.randn(value.shape, generator=torch.Generator().manual_seed(i), dtype=torch.double)
    x = torch.randn(*lead, 4, 6, generator=torch.Generator().manual_seed(9), dtype=torch.double)
    out = net(x)
    assert out.shape == (3, 2, 4, 3)
    for arm in range(3):
        for seed in range(2):
            one = net.net(arm, seed)
            assert torch.allclose(one(x[arm % lead[0], seed % lead[1]]), out[arm, seed], rtol=1e-12)
    assert not torch.allclose(net.net(0, 1)(x[0, 0]), out[0, 0])
    assert torch.equal(net.net(-1, -1)[0].weight, net.net(2, 1)[0].weight)
    with pytest.raises(IndexError):
        net.net(3, 0)
    with pytest.raises(IndexError):
        net.net(0, 2)


def test_several_inputs_and_several_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x, scale):
            return self.layer(x) * scale, x.sum()

    net = Arms(Two, arms=2, seeds=(0,))
    x, scale = torch.randn(1, 1, 3, 2), torch.tensor([1.0, 10.0]).reshape(2, 1, 1)
    out, total = net(x, scale)
    assert out.shape == (2, 1, 3, 2) and total.shape == (2, 1)
    assert torch.allclose(out[1], 10 * out[0]) and torch.allclose(total, x.sum().expand(2, 1))


@pytest.mark.parametrize("shape", [(3,), (6,), (4, 6), (3, 4, 6), (2, 2, 4, 6), (3, 3, 4, 6)])
def test_an_input_that_does_not_begin_with_arms_and_seeds_is_refused(shape):
    with pytest.raises(ValueError, match=r"must begin with \(arms, seeds\) = \(3, 2\), or 1") as caught:
        Arms(mlp, arms=3, seeds=(0, 1))(torch.zeros(shape, dtype=torch.double))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("wrong", [{"arms": 0}, {"seeds": ()}])
def test_no_arms_or_no_seeds_are_refused(wrong):
    with pytest.raises(ValueError, match="at least one of each is needed"):
        Arms(mlp, **wrong)


def test_a_net_taken_out_is_a_copy_of_its_own():
    net = Arms(mlp, arms=2)
    one, before = net.net(1), copy.deepcopy(net.state_dict())
    nn.init.zeros_(one[0].weight)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert one[0].weight.requires_grad and not torch.equal(net.net(1)[0].weight, one[0].weight)


def test_a_net_taken_out_has_its_tied_weights_and_passing_buffers():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight
            self.register_buffer("shift", torch.randn(3), persistent=False)

        def forward(self, x):
            return self.second(self.first(x)) + self.shift

    net, x = Arms(Odd, arms=2, seeds=(0, 1)), torch.randn(5, 3)
    assert torch.allclose(net.net(1, 1)(x), net(x[None, None])[1, 1], atol=1e-6)
    assert net.net(0, 1).first.weight is not net.net(0, 0).first.weight
    assert net.net(0, 1).second.weight is not None


def test_weights_saved_and_loaded_give_the_same_outputs_and_the_optimiser_keeps_its_hold():
    net, other = Arms(mlp, arms=2, seeds=(0, 1)).eval(), Arms(mlp, arms=2, seeds=(7, 8)).eval()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    x = torch.randn(1, 1, 4, 6, dtype=torch.double)
    assert not torch.allclose(net(x), other(x))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(x), other(x))
    other(x).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(net(x), other(x))  # it moves `other`, and not what was loaded


def test_weights_of_another_net_are_refused_by_name():
    with pytest.raises(ValueError, match=r"of another net: they differ in \['extra'\]"):
        net = Arms(mlp)
        net.load_state_dict({**net.state_dict(), "extra": torch.zeros(1)})


def test_frozen_parameters_stay_frozen():
    def frozen():
        net = mlp()
        net[0].requires_grad_(False)
        return net

    net = Arms(frozen, arms=2)
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(1, 1, 4, 6, dtype=torch.double)).square().sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"3.weight", "3.bias"}
    assert [p.requires_grad for p in net.net(0).parameters()] == [False, False, True, True]


def test_train_and_eval_switch_dropout_here_and_in_a_net_taken_out():
    net, x = Arms(mlp, arms=2), torch.randn(1, 1, 64, 6, dtype=torch.double)
    assert torch.equal(net.eval()(x), net(x)) and not net.net().training
    assert not torch.equal(net.train()(x), net(x)) and net.net().training and net.net()[2].training


def test_arms_leave_the_nets_that_were_made_alone():
    made = []

    def make():
        made.append(mlp())
        return made[-1]

    net = Arms(make, arms=2, seeds=(0, 1))
    before = [copy.deepcopy(one.state_dict()) for one in made]
    net(torch.randn(1, 1, 4, 6, dtype=torch.double)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    assert len(made) == 2
    for one, old in zip(made, before, strict=True):
        assert all(torch.equal(value, old[name]) for name, value in one.state_dict().items())


# --- one by one


def batchnorm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3, momentum=0.3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
    ).double()


def let_differ(net: Arms) -> Arms:
    """Move all weights of a stack, so that no two nets are alike."""
    for i, value in enumerate(net.parameters()):
        value.data += torch.randn(value.shape, generator=torch.Generator().manual_seed(i), dtype=torch.double) / 3
    return net


@pytest.mark.parametrize("lead", [(1, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize(("make", "shape"), [(mlp, (6,)), (conv, (1, 4, 4)), (batchnorm, (1, 4, 4))], ids=["mlp", "conv", "bn"])
def test_one_by_one_gives_the_outputs_and_gradients_of_the_stack(make, shape, lead):
    x = torch.randn(*lead, 5, *shape, generator=torch.Generator().manual_seed(9), dtype=torch.double)
    outs, grads = [], []
    for one_by_one in (False, True):
        net = let_differ(Arms(make, arms=3, seeds=(0, 1), one_by_one=one_by_one)).train(make is batchnorm)  # no dropout
        x_own = x.clone().requires_grad_()
        outs.append(net(x_own))
        assert outs[-1].shape == (3, 2, 5, 3)
        outs[-1].sin().sum().backward()
        grads.append([x_own.grad, *(p.grad for p in net.parameters())])
    assert torch.allclose(outs[0], outs[1], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(outs[1][0, 0], outs[1][2, 1])
    for stacked, in_turn in zip(*grads, strict=True):
        assert stacked.abs().sum() > 0 and torch.allclose(stacked, in_turn, rtol=1e-9, atol=1e-11)


def test_one_by_one_takes_several_inputs_and_gives_several_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 4)

        def forward(self, x, scale):
            return self.layer(x) * scale, x.sum()

    net, stacked = (Arms(Two, arms=2, seeds=(0, 1), one_by_one=turn) for turn in (True, False))
    x, scale = torch.randn(1, 2, 3, 2), torch.tensor([1.0, 10.0]).reshape(2, 1, 1)
    out, total = net(x, scale)
    assert out.shape == (2, 2, 3, 4) and total.shape == (2, 2)
    for mine, hers in zip((out, total), stacked(x, scale), strict=True):
        assert torch.allclose(mine, hers, atol=1e-6)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_batch_normalisation_keeps_the_statistics_of_each_net(one_by_one):
    net = let_differ(Arms(batchnorm, arms=2, seeds=(0, 1), one_by_one=one_by_one))
    alone = [[net.net(arm, seed) for seed in range(2)] for arm in range(2)]
    rng = torch.Generator().manual_seed(3)
    for _ in range(3):
        x = torch.randn(2, 2, 5, 1, 4, 4, generator=rng, dtype=torch.double)
        net(x)
        for arm in range(2):
            for seed in range(2):
                alone[arm][seed](x[arm, seed])
    for arm in range(2):
        for seed in range(2):
            got, want = net.net(arm, seed)[1], alone[arm][seed][1]
            assert torch.allclose(got.running_mean, want.running_mean) and torch.allclose(got.running_var, want.running_var)
            assert int(got.num_batches_tracked) == 3
    assert not torch.allclose(net.net(0, 0)[1].running_mean, net.net(1, 1)[1].running_mean)
    before = copy.deepcopy(net.state_dict())
    net.eval()(torch.randn(1, 1, 5, 1, 4, 4, dtype=torch.double))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("one_by_one", [False, True])
def test_both_ways_of_calling_train_to_the_same_weights(one_by_one):
    net = Arms(conv, arms=2, seeds=(0, 1), one_by_one=one_by_one)
    alone, factor = [net.net(1, seed) for seed in range(2)], torch.tensor([1.0, 3.0], dtype=torch.double)
    optimizer, own = (torch.optim.Adam(p, lr=0.01) for p in (net.parameters(), [p for one in alone for p in one.parameters()]))
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        x = torch.randn(1, 2, 4, 1, 4, 4, generator=rng, dtype=torch.double)
        optimizer.zero_grad()
        (net(x).sin().mean((-1, -2)) * factor[:, None]).sum().backward()
        optimizer.step()
        own.zero_grad()
        sum(3 * one(x[0, seed]).sin().mean() for seed, one in enumerate(alone)).backward()
        own.step()
    for seed, one in enumerate(alone):
        for name, value in net.net(1, seed).state_dict().items():
            assert torch.allclose(value, one.state_dict()[name], rtol=1e-8, atol=1e-10)


class Tied(nn.Module):
    """One matrix in two places, and buffers that a call changes."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=0.3), nn.Linear(4, 4)
        self.last.weight = self.first.weight
        self.double()

    def forward(self, x):
        return self.last(self.norm(self.first(x)).tanh())


@pytest.mark.parametrize("one_by_one", [False, True])
def test_outputs_gradients_and_buffers_are_those_of_functional_call_also_with_tied_weights(one_by_one):
    net = let_differ(Arms(Tied, arms=2, seeds=(0, 1), one_by_one=one_by_one))
    leaves = {name: p.detach().clone().requires_grad_() for name, p in zip(net.state_dict(), net.parameters(), strict=False)}
    assert set(leaves) == {"first.weight", "first.bias", "norm.weight", "norm.bias", "last.bias"}
    buffers = {name: value.clone() for name, value in net.state_dict().items() if name not in leaves}
    x, base = torch.randn(2, 2, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double), Tied()
    total = torch.zeros((), dtype=torch.double)
    for i in range(4):
        own = {name: value[i] for name, value in buffers.items()}  # views, which the call updates in place
        want = torch.func.functional_call(base, ({name: p[i] for name, p in leaves.items()}, own), x[i // 2, i % 2])
        before = {name: value[i].clone() for name, value in net.state_dict().items() if name in buffers}
        if i == 0:
            got = net(x)
            got.sin().sum().backward()
            assert not torch.equal(net.state_dict()["norm.running_mean"][0], before["norm.running_mean"])
        assert torch.allclose(got[i // 2, i % 2], want, rtol=1e-10, atol=1e-12)
        total = total + want.sin().sum()
    total.backward()
    for p, leaf in zip(net.parameters(), leaves.values(), strict=True):
        assert torch.allclose(p.grad, leaf.grad, rtol=1e-9, atol=1e-11)
    assert leaves["first.weight"].grad.abs().sum() > 0
    for name, value in buffers.items():
        assert torch.allclose(net.state_dict()[name], value, rtol=1e-10), name


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_net_that_raises_leaves_the_skeleton_whole_and_the_stack_usable(one_by_one):
    class Fragile(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            if len(x) == 3:
                raise ZeroDivisionError
            return out

    net = Arms(lambda: Fragile(2, 2), arms=2, seeds=(0, 1), one_by_one=one_by_one)
    own, want = dict(net._skeleton.named_parameters()), net(torch.ones(1, 1, 4, 2))
    with pytest.raises(ZeroDivisionError):
        net(torch.ones(1, 1, 3, 2))
    assert {name: id(p) for name, p in net._skeleton.named_parameters()} == {name: id(p) for name, p in own.items()}
    assert torch.equal(net(torch.ones(1, 1, 4, 2)), want)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_deep_copy_is_a_stack_of_its_own(one_by_one):
    net, x = Arms(mlp, arms=2, one_by_one=one_by_one), torch.randn(1, 1, 64, 6, dtype=torch.double)
    twin, before = copy.deepcopy(net).eval(), copy.deepcopy(net.state_dict())
    assert torch.equal(twin(x), twin(x)) and not torch.equal(net(x), net(x))  # dropout is off in the copy alone
    twin(x).sum().backward()
    torch.optim.SGD(twin.parameters(), lr=1.0).step()
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not torch.allclose(twin(x), net.eval()(x))


# --- some arms of a stack


@pytest.mark.parametrize("one_by_one", [False, True])
def test_picked_arms_are_those_asked_for_in_that_order_and_a_position_may_come_twice(one_by_one):
    net = let_differ(Arms(mlp, arms=4, seeds=(0, 1), one_by_one=one_by_one)).eval()
    some = net.pick([2, 0, -1, 2, 1])
    assert some.lead == (5, 2) and some.seeds == (0, 1) and net.lead == (4, 2)
    x = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(9), dtype=torch.double)
    assert some(x).shape == (5, 2, 5, 3) and torch.allclose(some(x), net(x)[[2, 0, 3, 2, 1]], rtol=1e-12)
    assert torch.equal(some.net(1, 1)[0].weight, net.net(0, 1)[0].weight)
    assert torch.allclose(some.pick([1])(x), net(x)[[0]], rtol=1e-12)  # a pick of a pick
    with pytest.raises(ValueError, match=r"must begin with \(arms, seeds\) = \(5, 2\)"):
        some(torch.zeros(4, 2, 5, 6, dtype=torch.double))


@pytest.mark.parametrize("one_by_one", [False, True])
def test_training_a_pick_leaves_the_original_and_its_twin_alone(one_by_one):
    net = let_differ(Arms(batchnorm, arms=3, seeds=(0, 1), one_by_one=one_by_one))
    net(torch.randn(1, 1, 5, 1, 4, 4, dtype=torch.double)).sum().backward()
    some, before = net.pick([2, 2]), copy.deepcopy(net.state_dict())
    parameters = list(some.parameters())
    assert all(p.is_leaf and p.requires_grad and p.grad is None and len(p) == 4 for p in parameters)
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    x = torch.randn(2, 1, 5, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    some(x).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    changed = some.state_dict()
    for name, value in before.items():
        value = value.unflatten(0, (3, 2))[[2, 2]].flatten(0, 1)
        assert not torch.equal(changed[name], value), name
    assert not torch.equal(some.net(0, 0)[0].weight, some.net(1, 0)[0].weight)  # the twins part
    after = copy.deepcopy(changed)
    net.eval()(x[:1])
    net.load_state_dict({name: torch.zeros_like(value) for name, value in before.items()})
    assert all(torch.equal(value, after[name]) for name, value in some.state_dict().items())


def test_a_pick_keeps_mode_and_frozen_parameters_and_switches_by_itself():
    def frozen():
        net = mlp()
        net[0].requires_grad_(False)
        return net

    net = Arms(frozen, arms=2).eval()
    some = net.pick([1])
    assert [p.requires_grad for p in some.parameters()] == [False, False, True, True]
    x = torch.randn(1, 1, 64, 6, dtype=torch.double)
    assert torch.equal(some(x), some(x)) and not some.net().training
    assert not torch.equal(some.train()(x), some(x)) and torch.equal(net(x), net(x))


@pytest.mark.parametrize(("one_by_one", "n"), [(False, 1), (True, 6)])
def test_a_pick_calls_its_nets_as_the_original_does_all_at_once_or_in_turn(one_by_one, n):
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    Arms(lambda: Counted(2, 2), arms=2, seeds=(0, 1), one_by_one=one_by_one).pick([0, 1, 1])(torch.zeros(1, 1, 3, 2))
    assert len(calls) == n


def test_a_pick_of_nothing_or_of_an_arm_that_is_not_there_is_refused():
    net = Arms(mlp, arms=2, seeds=(0, 1))
    with pytest.raises(ValueError, match="no arms to pick"):
        net.pick([])
    for arm in (2, -3):
        with pytest.raises(IndexError):
            net.pick([arm])

"""Training runs: batches and noise by seed, sample-weighted history, errors, interruption and resume."""

from __future__ import annotations

import copy
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from labkit.arms import Arms
from labkit.guards import NonFiniteLoss
from labkit.history import History
from labkit.sets import Images
from labkit.train import Run

KEEP_GOING = -1.0  # seconds between checkpoints: one after every epoch


def numbered(n: int = 5, channels: int = 1) -> Images:
    """Image i is filled with 6 i (n <= 42) and has label i % 2."""
    pixels = (6 * torch.arange(n)).to(torch.uint8).reshape(-1, 1, 1, 1).repeat(1, channels, 2, 2)
    return Images(pixels, torch.arange(n) % 2, ("even", "odd"), "numbered", "train", "this test")


def which(x: torch.Tensor) -> torch.Tensor:
    """The numbers of the images in a batch (..., C, H, W)."""
    return (x[..., 0, 0, 0] * 42.5).round().long()


def still() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    """A parameter that never moves, and its optimiser."""
    w = nn.Parameter(torch.ones(()))
    return w, torch.optim.SGD([w], lr=0.0)


# --- batches


def test_an_epoch_has_every_image_once_and_each_epoch_its_own_order():
    run = Run(numbered(), epochs=3, batch_size=2)
    sizes, order = [], []
    for x, y in run:
        assert x.shape[1:] == (1, 2, 2) and torch.equal(y, which(x) % 2)
        sizes.append(len(x))
        order += which(x).tolist()
    assert sizes == [2, 2, 1] * 3
    epochs = [order[i : i + 5] for i in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs) and epochs[0] != epochs[1] != epochs[2]


def test_each_seed_has_its_own_order_which_its_arms_share():
    arms = Arms(lambda: nn.Linear(1, 1), arms=3, seeds=(4, 9))
    xs = [x for x, _ in Run(numbered(40), epochs=1, batch_size=8, arms=arms)]
    assert all(x.shape == (1, 2, 8, 1, 2, 2) for x in xs)  # one batch for all arms
    orders = torch.cat([which(x)[0] for x in xs], 1)  # (seeds, N)
    assert all(sorted(order.tolist()) == list(range(40)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    alone = [which(x) for x, _ in Run(numbered(40), epochs=1, batch_size=8, seeds=(9,))]
    assert torch.equal(torch.cat(alone), orders[1])  # a seed's order does not depend on its company


def test_batches_and_noise_leave_the_global_generators_alone():
    before = torch.get_rng_state()
    run = Run(numbered(), epochs=2, batch_size=2)
    for x, _ in run:
        run.randn_like(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_augment_changes_the_batches():
    run = Run(numbered(), epochs=1, batch_size=5, augment=lambda x: x + 1)
    assert all(float(x.min()) >= 1 for x, _ in run)


def test_noise_is_shared_by_the_arms_of_a_seed_and_differs_between_seeds_and_draws():
    def draws():
        run = Run(numbered(), epochs=1, batch_size=5, arms=Arms(lambda: nn.Linear(1, 1), arms=3, seeds=(4, 9)))
        return run.randn_like(torch.zeros(3, 2, 50, 20)), run.randn_like(torch.zeros(3, 2, 50, 20))

    first, second = draws()
    assert first.shape == (3, 2, 50, 20) and torch.equal(first[0], first[1]) and torch.equal(first[0], first[2])
    assert not torch.allclose(first[:, 0], first[:, 1]) and not torch.allclose(first, second)
    assert abs(float(first[0].mean())) < 0.1 and abs(float(first[0].std()) - 1) < 0.1
    assert torch.equal(draws()[1], second)
    run = Run(numbered(), epochs=1, batch_size=5, seeds=(9,))
    assert torch.equal(run.randn_like(torch.zeros(50, 20)), first[0, 1])
    assert run.randn_like(torch.zeros(2, dtype=torch.double)).dtype == torch.double


def test_noise_of_a_shape_without_arms_and_seeds_is_refused():
    run = Run(numbered(), epochs=1, batch_size=5, arms=Arms(lambda: nn.Linear(1, 1), arms=3, seeds=(4, 9)))
    with pytest.raises(ValueError, match=r"the shape \(1, 2, 5\) does not begin with \(arms, seeds\) = \(3, 2\)"):
        run.randn_like(torch.zeros(1, 2, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0: it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0, of 5 images: both must be at least 1"),
        ({"images": numbered()[:0]}, "batch_size is 2, of 0 images"),
        ({"unlabelled": numbered()[:0]}, "batch_size is 2, of 0 images"),
        ({"seeds": (0, 1)}, "2 seeds without arms: pass arms=, or one seed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    given = {"images": numbered(), "epochs": 1, "batch_size": 2, **options}
    with pytest.raises(ValueError, match=message):
        Run(given.pop("images"), **given)


# --- a second set, unlabelled


@pytest.mark.parametrize("seeds", [None, (4, 9)])
def test_a_batch_has_as_many_images_of_the_second_set_and_the_index_says_which(seeds):
    arms = Arms(lambda: nn.Linear(1, 1), arms=3, seeds=seeds) if seeds else None
    run, others = (
        Run(numbered(), epochs=2, batch_size=2, arms=arms, unlabelled=numbered(7, channels=3)),
        numbered(7, channels=3),
    )
    lead, sizes = (1, 2) if seeds else (), []
    for x, y, more in run:
        sizes.append(y.shape[-1])
        assert x.shape == (*lead, sizes[-1], 1, 2, 2) and more.shape == (*lead, sizes[-1], 3, 2, 2)
        assert torch.equal(y, which(x) % 2)
        assert run.unlabelled_index.shape == y.shape and torch.equal(which(more), run.unlabelled_index)
        assert torch.allclose(others.floats()[run.unlabelled_index], more)
    assert sizes == [2, 2, 1] * 2


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 40])
def test_no_unlabelled_image_comes_again_in_an_epoch_before_all_have_come(n):
    run = Run(numbered(), epochs=4, batch_size=2, unlabelled=numbered(n))
    drawn = [run.unlabelled_index.clone() for _ in run]
    epochs = [torch.cat(drawn[i : i + 3]).tolist() for i in range(0, 12, 3)]
    for epoch in epochs:
        assert len(epoch) == 5 and set(epoch) <= set(range(n))
        for i in range(0, 5, n):  # one pass after the other
            assert len(set(epoch[i : i + n])) == len(epoch[i : i + n])
    assert n == 1 or any(epoch != epochs[0] for epoch in epochs)


def test_each_seed_draws_the_second_set_in_an_order_of_its_own():
    arms = Arms(lambda: nn.Linear(1, 1), arms=3, seeds=(4, 9))
    run = Run(numbered(40), epochs=2, batch_size=8, arms=arms, unlabelled=numbered(40))
    batches = [(which(x)[0], run.unlabelled_index[0].clone()) for x, _, _ in run]
    labelled, others = (torch.cat(part, 1) for part in zip(*batches, strict=True))  # (seeds, N)
    assert not torch.equal(others[0], others[1]) and not torch.equal(others, labelled)
    for position, seed in enumerate((4, 9)):
        alone = Run(numbered(40), epochs=2, batch_size=8, seeds=(seed,), unlabelled=numbered(40))
        assert torch.equal(torch.cat([alone.unlabelled_index.clone() for _ in alone]), others[position])
    plain = [which(x)[0] for x, _ in Run(numbered(40), epochs=2, batch_size=8, arms=arms)]
    assert torch.equal(torch.cat(plain, 1), labelled)  # a second set leaves the order of the first alone


def test_augment_changes_the_unlabelled_images_too():
    run = Run(numbered(), epochs=1, batch_size=5, augment=lambda x: x + 1, unlabelled=numbered(3))
    assert all(float(more.min()) >= 1 for _, _, more in run)


# --- clipping


@pytest.mark.parametrize("one_by_one", [False, True])
def test_clip_shortens_the_gradient_of_each_net_as_if_it_were_alone(one_by_one):
    def make():
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()

    arms = Arms(make, arms=3, seeds=(0, 1), one_by_one=one_by_one)
    alone = [[arms.net(arm, seed) for seed in range(2)] for arm in range(3)]
    factor = torch.tensor([0.01, 1.0, 100.0], dtype=torch.double)
    run, norms, xs = Run(numbered(), epochs=2, batch_size=2, arms=arms), [], []
    optimizer = torch.optim.SGD(arms.parameters(), lr=0.1)
    for x, _ in run:
        xs.append(x.flatten(3).double())
        run.step(optimizer, (arms(xs[-1]).squeeze(-1) - 2).square() * factor[:, None, None], clip=1.5)
    for arm in range(3):
        for seed in range(2):
            one = alone[arm][seed]
            own = torch.optim.SGD(one.parameters(), lr=0.1)
            for x in xs:
                own.zero_grad()
                ((one(x[0, seed]).squeeze(-1) - 2).square().mean() * factor[arm]).backward()
                norms.append(float(nn.utils.clip_grad_norm_(one.parameters(), 1.5)))
                own.step()
            for name, value in arms.net(arm, seed).state_dict().items():  # torch divides by norm + 1e-6
                assert torch.allclose(value, one.state_dict()[name], rtol=1e-5, atol=1e-7), (arm, seed, name)
    assert min(norms) < 0.1 and max(norms) > 10  # some were clipped and some were not


def test_clip_without_arms_takes_the_norm_of_all_the_parameters_that_are_stepped():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(4, 2), nn.Parameter(torch.tensor(3.0))  # a parameter without dimensions
            self.unused = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.layer(x) * self.scale

    torch.manual_seed(0)
    ours = Scaled().double()
    theirs, other = copy.deepcopy(ours), nn.Parameter(torch.ones((), dtype=torch.double))
    run = Run(numbered(), epochs=1, batch_size=5)
    for x, _ in run:
        x = x.flatten(1).double()
        run.step(torch.optim.SGD(ours.parameters(), lr=1.0), (ours(x) - 5).square().sum(1) * other, clip=0.5)
        (theirs(x) - 5).square().sum(1).mean().backward()  # `other` has a large gradient that does not count
        assert float(nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)) > 1
        torch.optim.SGD(theirs.parameters(), lr=1.0).step()
    for mine, hand in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, hand, rtol=1e-5, atol=1e-7)


def test_a_gradient_below_the_limit_is_left_as_it_is():
    ends = []
    for clip in (None, 1e9):
        arms = Arms(lambda: nn.Linear(4, 1), arms=2, seeds=(0, 1))
        run, optimizer = Run(numbered(), epochs=2, batch_size=2, arms=arms), torch.optim.Adam(arms.parameters())
        for x, _ in run:
            run.step(optimizer, arms(x.flatten(3)).squeeze(-1).square(), clip=clip)
        ends.append(arms.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize("clip", [0, -1.0, float("nan")])
def test_clip_refuses_what_is_no_limit(clip):
    w, optimizer = still()
    for x, _ in Run(numbered(), epochs=1, batch_size=5):
        with pytest.raises(ValueError, match="give the largest gradient norm, above 0, or None"):
            Run(numbered(), epochs=1, batch_size=5).step(optimizer, w * x.mean(), clip=clip)


def test_clip_holds_for_each_parameter_group_by_itself():
    small, large = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([{"params": [small]}, {"params": [large]}], lr=1.0)
    run = Run(numbered(), epochs=1, batch_size=5)
    for _ in run:
        run.step(optimizer, (0.1 * small + 50 * large).sum(), clip=1.0)
    assert torch.allclose(small, torch.full((2,), -0.1))  # as if the other group were not there
    assert torch.allclose(large, torch.full((2,), -(0.5**0.5)))


def test_clip_refuses_a_parameter_that_is_not_stacked():
    arms, (w, optimizer) = Arms(lambda: nn.Linear(1, 1), arms=2, seeds=(0, 1)), still()
    run = Run(numbered(), epochs=1, batch_size=5, arms=arms)
    for x, _ in run:
        with pytest.raises(ValueError, match=r"a parameter of shape \(\) does not begin with 4"):
            run.step(optimizer, w * x.flatten(2).mean(2).expand(2, 2), clip=1.0)


# --- steps and history


def test_history_is_the_mean_over_samples_and_not_over_batches():
    w, optimizer = still()
    run = Run(numbered(), epochs=2, batch_size=2)
    for x, _ in run:
        value = x.flatten(1).mean(1)  # (B,): 0, 6, .. 24 over 255
        run.step(optimizer, w * value, squared=value**2, batch_mean=value.mean())
    values = np.arange(0, 30, 6) / 255
    assert run.history["loss"].shape == (2,) and np.allclose(run.history["loss"], values.mean())
    assert np.allclose(run.history["squared"], (values**2).mean())
    assert np.allclose(run.history["batch_mean"], values.mean())  # a scalar counts for the samples of its batch
    assert run.history.names == ["loss", "squared", "batch_mean"] and len(run.history) == 2 and "loss" in run.history


def test_with_arms_history_is_the_mean_over_samples_for_each_arm_and_seed():
    arms = Arms(lambda: nn.Linear(1, 1), arms=2, seeds=(0, 1, 2))
    w = nn.Parameter(torch.ones(()))
    run = Run(numbered(), epochs=3, batch_size=2, arms=arms)
    factor = torch.tensor([1.0, -2.0]).reshape(2, 1, 1)
    for x, _ in run:
        value = x.flatten(3).mean(3) * factor  # (arms, seeds, B)
        run.step(torch.optim.SGD([w], lr=0.0), w * value, batch_mean=value.mean(-1))
    mean = (np.arange(0, 30, 6) / 255).mean()
    expected = np.broadcast_to(np.array([1.0, -2.0])[:, None] * mean, (3, 2, 3))
    assert np.allclose(run.history["loss"], expected) and np.allclose(run.history["batch_mean"], expected)


def test_each_arm_gets_the_gradient_that_it_would_get_alone():
    arms = Arms(lambda: nn.Linear(4, 1, bias=False).double(), arms=2, seeds=(0, 1))
    start = next(arms.parameters()).detach().clone().unflatten(0, (2, 2))
    run = Run(numbered(), epochs=1, batch_size=5, arms=arms)
    optimizer = torch.optim.SGD(arms.parameters(), lr=0.5)
    for x, _ in run:
        pixels = x.flatten(3).double()
        run.step(optimizer, arms(pixels).squeeze(-1) * torch.tensor([1.0, 3.0]).reshape(2, 1, 1))
    end = next(arms.parameters()).detach().unflatten(0, (2, 2))
    for arm, factor in enumerate((1.0, 3.0)):
        for seed in range(2):  # d mean(factor w.x) / dw = factor mean(x)
            gradient = factor * numbered().floats().flatten(1).double().mean(0)
            assert torch.allclose(end[arm, seed], start[arm, seed] - 0.5 * gradient, atol=1e-7)


def test_terms_of_another_shape_are_refused_by_name_and_numbers_are_taken():
    arms = Arms(lambda: nn.Linear(1, 1), arms=2, seeds=(0, 1))
    w, optimizer = still()
    run = Run(numbered(), epochs=1, batch_size=5, arms=arms)
    for x, _ in run:
        with pytest.raises(ValueError, match=r"loss has shape \(5,\): it must begin with \(arms, seeds\) = \(2, 2\)"):
            run.step(optimizer, w * x[0, 0, :, 0, 0, 0])
        with pytest.raises(ValueError, match=r"kl has shape \(\)"):
            run.step(optimizer, w * x.flatten(2).mean(2).expand(2, 2), kl=torch.ones(()))
    plain = Run(numbered(), epochs=1, batch_size=5)
    for _ in plain:
        plain.step(optimizer, w * 2, beta=0.5)
    assert plain.history["beta"].tolist() == [0.5]


def test_the_loss_is_recorded_detached():
    w, optimizer = still()
    run = Run(numbered(), epochs=1, batch_size=5)
    for _ in run:
        run.step(optimizer, w * 2)
        assert not any(total.requires_grad for total in run.history._sums.values())


def test_an_adversarial_pair_takes_two_steps_a_batch_as_a_hand_written_loop_does():
    def pair():
        torch.manual_seed(0)
        return nn.Linear(4, 4).double(), nn.Linear(4, 1).double()

    def losses(maker, judge, x):
        fake = maker(x)
        return judge(fake.detach()).mean() - judge(x).mean(), lambda: -judge(maker(x)).mean() + maker(x).square().mean()

    (maker, judge), (maker_2, judge_2) = pair(), pair()
    ours = torch.optim.Adam(judge.parameters(), lr=0.01), torch.optim.SGD(maker.parameters(), lr=0.1)
    run, batches = Run(numbered(), epochs=2, batch_size=2), []
    for x, _ in run:
        batches.append(x.flatten(1).double())
        for_judge, for_maker = losses(maker, judge, batches[-1])
        run.step(ours[0], for_judge, judge=for_judge)
        last = for_maker()
        run.step(ours[1], last, maker=last)
    theirs = torch.optim.Adam(judge_2.parameters(), lr=0.01), torch.optim.SGD(maker_2.parameters(), lr=0.1)
    values = []
    for x in batches:
        for_judge, for_maker = losses(maker_2, judge_2, x)
        theirs[0].zero_grad()
        for_judge.backward()
        theirs[0].step()
        theirs[1].zero_grad()
        last = for_maker()
        last.backward()
        theirs[1].step()
        values.append((for_judge.item(), last.item()))
    for mine, hand in ((maker, maker_2), (judge, judge_2)):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), hand.parameters(), strict=True))
    weighted = np.average(np.array(values).reshape(2, 3, 2), axis=1, weights=[2, 2, 1])
    assert np.allclose(run.history["judge"], weighted[:, 0]) and np.allclose(run.history["maker"], weighted[:, 1])
    assert np.allclose(run.history["loss"], weighted.mean(1))


def test_logged_values_join_the_epoch_under_way():
    w, optimizer = still()
    run, ends, shares = Run(numbered(), epochs=3, batch_size=2), [], []
    for _ in run:
        shares.append(run.progress)
        ends.append(run.epoch_ends)
        run.step(optimizer, w * 1)
        if run.epoch_ends:
            run.log(score=float(run.epoch), accuracy=torch.tensor(0.5))
    assert ends == [False, False, True] * 3
    assert np.allclose(shares, np.arange(9) / 9) and run.progress == 1 and run.epoch == 3
    assert run.history["score"].tolist() == [0, 1, 2] and run.history["accuracy"].tolist() == [0.5] * 3


def test_a_term_that_was_never_recorded_is_named_with_those_that_were():
    history = History()
    with pytest.raises(KeyError, match="no term 'kl' was recorded: there are none yet"):
        history["kl"]
    history.add({"loss": torch.tensor(1.0)}, 2)
    history.close_epoch()
    with pytest.raises(KeyError, match="there are loss"):
        history["kl"]
    assert "kl" not in history and len(history) == 1


def test_rows_are_kept_on_the_cpu_wherever_values_come_from_also_after_a_resume(monkeypatch):
    def from_device(x):
        return torch.full(x.shape, 7.0) if x.is_meta else x

    monkeypatch.setattr(torch.Tensor, "cpu", from_device)  # 'meta', which holds no values, stands in for an accelerator
    history, resumed = History(), History()
    for device in ("cpu", "meta"):
        history.add({"loss": torch.full((2, 3), 5.0, device=device)}, 2)
        history.close_epoch()
    resumed.load_state_dict({"loss": [torch.full((2, 3), 4.0, device="meta"), *history.state_dict()["loss"]]})
    resumed.add({"loss": torch.full((2, 3), 6.0)}, 2)
    resumed.close_epoch()
    assert {row.device.type for row in (*history.state_dict()["loss"], *resumed.state_dict()["loss"])} == {"cpu"}
    assert history["loss"][:, 0, 0].tolist() == [5, 7] and resumed["loss"][:, 0, 0].tolist() == [7, 5, 7, 6]


# --- losses that are not finite


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_loss_that_is_not_finite_is_told_with_step_epoch_arm_seed_and_learning_rate(bad):
    arms = Arms(lambda: nn.Linear(4, 1), arms=3, seeds=(4, 9))
    optimizer = torch.optim.SGD(arms.parameters(), lr=0.25)
    run = Run(numbered(), epochs=3, batch_size=2, arms=arms, label="my sweep")
    steps = 0
    before: dict = {}
    with pytest.raises(NonFiniteLoss) as caught:
        for x, _ in run:
            loss = arms(x.flatten(3)).squeeze(-1).square()  # (arms, seeds, B)
            if steps == 4:
                before = copy.deepcopy(arms.state_dict())
                loss = loss + torch.zeros(3, 2, 1).index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(bad))
            run.step(optimizer, loss)
            steps += 1
    message = str(caught.value)
    for part in ("my sweep", "not finite at step 4 (epoch 2) in arm 2, seed 9", "learning rate 0.25"):
        assert part in message, message
    assert steps == 4
    for name, value in arms.state_dict().items():  # the step that would have spoilt the nets was not taken
        assert torch.equal(value, before[name]) and torch.isfinite(value).all()


def test_without_arms_the_message_names_none():
    w, optimizer = still()
    with pytest.raises(NonFiniteLoss, match=r"at step 0 \(epoch 1\), learning rate 0\. Look for exp"):
        run = Run(numbered(), epochs=1, batch_size=2)
        for _ in run:
            run.step(optimizer, w * torch.nan)


@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_finite_false_lets_one_net_diverge_and_leaves_the_others_as_they_are(bad, clip):
    def trained(spoil: bool):
        arms = Arms(lambda: nn.Linear(4, 1), arms=3, seeds=(4, 9))
        run = Run(numbered(), epochs=3, batch_size=2, arms=arms, finite=False)
        optimizer = torch.optim.Adam(arms.parameters(), lr=0.1)
        for step, (x, _) in enumerate(run):
            factor = torch.ones(3, 2, 1)
            if spoil and step == 4:
                factor[1, 0] = bad
            loss = arms(x.flatten(3)).squeeze(-1).square() * factor
            run.step(optimizer, loss, clip=clip, twice=2 * loss.detach())
        return arms.net(1, 0), [arms.net(a, s) for a in range(3) for s in range(2) if (a, s) != (1, 0)], run.history

    lost, others, history = trained(True)
    _, expected, whole = trained(False)
    assert all(torch.isnan(value).all() for value in lost.parameters())
    for mine, hers in zip(others, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), hers.parameters(), strict=True))
    for name in ("loss", "twice"):
        finite = np.isfinite(history[name])
        assert finite[0].all() and not finite[1:, 1, 0].any() and finite.sum() == 18 - 2  # from the second epoch on
        assert np.array_equal(history[name][finite], whole[name][finite])


# --- interruption and resume


class Trained:
    """One training of two arms and two seeds with noise, which can be stopped at a step and gone on with."""

    def __init__(
        self,
        checkpoint=None,
        *,
        stop=None,
        epochs=4,
        width=3,
        label="lesson",
        seeds=(0, 1),
        lr=0.05,
        settings="",
        images=None,
        unlabelled=None,
        bare=False,
        error=KeyboardInterrupt,
    ):
        self.bare = bare  # also draws from torch's global generator
        self.net = Arms(lambda: nn.Linear(4, width).double(), arms=2, seeds=seeds)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)
        keep = {"net": self.net, "optimizer": self.optimizer}
        self.run = Run(
            numbered() if images is None else images,
            epochs=epochs,
            batch_size=2,
            arms=self.net,
            settings=settings,
            unlabelled=unlabelled,
            label=label,
            keep=keep,
            checkpoint=checkpoint,
            every=KEEP_GOING,
        )
        self.steps = 0
        with suppress(KeyboardInterrupt, ValueError):
            self.loop(stop, error)

    def loop(self, stop=None, error=KeyboardInterrupt):
        for x, _, *more in self.run:
            if self.steps == stop:
                raise error
            out = self.net(x.flatten(3).double())
            out = out + self.net(more[0].flatten(3).double()) if more else out
            out = out + self.run.randn_like(out)
            out = out + torch.randn(()) if self.bare else out
            self.run.step(self.optimizer, out.square().mean(-1), size=out.detach().abs().mean((-1, -2)))
            self.steps += 1

    def same_as(self, other) -> bool:
        mine, theirs = self.net.state_dict(), other.net.state_dict()
        weights = all(torch.equal(value, theirs[name]) for name, value in mine.items())
        return weights and all(np.array_equal(self.run.history[k], other.run.history[k]) for k in ("loss", "size"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_loop_keeps_the_nets_and_the_history_so_far(capsys, error):
    whole, part = Trained(), Trained(stop=4, error=error)
    assert "lesson: stopped in epoch 2 of 4; the nets keep what they have learnt" in capsys.readouterr().out
    assert part.steps == 4 and len(part.run.history) == 2 and part.run.epoch == 1
    assert np.array_equal(part.run.history["loss"][0], whole.run.history["loss"][0])
    first = Trained(epochs=1)
    assert not torch.equal(part.net.state_dict()["weight"], first.net.state_dict()["weight"])  # step 4 counts


def test_leaving_the_loop_by_break_keeps_the_history_too(capsys):
    w, optimizer = still()
    run = Run(numbered(), epochs=2, batch_size=2)
    for x, _ in run:
        run.step(optimizer, w * x.mean())
        break
    assert len(run.history) == 1 and "stopped in epoch 1 of 2" in capsys.readouterr().out


def test_going_on_with_the_same_run_takes_the_epoch_up_from_its_start():
    w, optimizer = still()
    run, ends = Run(numbered(), epochs=2, batch_size=2), []
    for _ in run:
        if run.epoch_ends:
            break
    for _ in run:
        run.step(optimizer, w * 1)
        ends.append(run.epoch_ends)
    assert ends == [False, False, True] * 2 and run.progress == 1


@pytest.mark.parametrize("stop", [3, 4, 8, 11])
def test_a_resumed_training_ends_exactly_where_an_uninterrupted_one_ends(tmp_path, capsys, stop):
    checkpoint = tmp_path / "deep" / "run.pt"
    whole = Trained()
    part = Trained(checkpoint, stop=stop)
    assert checkpoint.exists() and not part.same_as(whole)
    torch.manual_seed(123)  # the new process is another one
    rest = Trained(checkpoint)
    assert f"going on after epoch {stop // 3} of 4" in capsys.readouterr().out
    assert rest.steps == 12 - stop // 3 * 3 and rest.same_as(whole)
    assert list(checkpoint.parent.iterdir()) == []  # a finished run takes its checkpoint away


@pytest.mark.parametrize("n", [3, 7])
def test_a_resumed_training_goes_on_in_the_unlabelled_set_where_it_was(tmp_path, n):
    whole = Trained(unlabelled=numbered(n))
    assert not whole.same_as(Trained())
    part = Trained(tmp_path / "run.pt", stop=7, unlabelled=numbered(n))
    assert part.run.epoch == 2 and not part.same_as(whole)
    rest = Trained(tmp_path / "run.pt", unlabelled=numbered(n))
    assert rest.steps == 6 and rest.same_as(whole)


def test_an_epoch_that_was_left_early_is_repeated_with_the_same_unlabelled_images():
    run, seen, again = Run(numbered(), epochs=2, batch_size=2, unlabelled=numbered(7)), [], []
    for _ in run:
        seen.append(run.unlabelled_index.tolist())
        if run.epoch == 1:
            break
    for _ in run:
        again.append(run.unlabelled_index.tolist())
    assert len(seen) == 4 and len(again) == 3 and again[0] == seen[3] and again != seen[:3]


def test_a_resumed_training_goes_on_with_the_global_generator_where_it_was(tmp_path):
    torch.manual_seed(5)
    whole = Trained(bare=True)
    torch.manual_seed(5)
    Trained(tmp_path / "run.pt", stop=6, bare=True)
    torch.manual_seed(123)
    assert Trained(tmp_path / "run.pt", bare=True).same_as(whole)


def test_an_epoch_that_was_left_early_is_repeated_whole_with_the_same_batches():
    seen, run = [], Run(numbered(), epochs=3, batch_size=2)
    w, optimizer = still()
    for x, _ in run:
        run.step(optimizer, w * x.mean())
        if run.epoch == 1:
            seen.append(which(x).tolist())
            break
    again = []
    for x, _ in run:
        run.step(optimizer, w * x.mean())
        again.append(which(x).tolist())
    assert len(run.history) == 3 and len(again) == 6 and again[0] == seen[0]


def test_a_checkpoint_waits_until_its_time_has_come(tmp_path):
    run = Run(numbered(), epochs=3, batch_size=2, keep={"net": nn.Linear(1, 1)}, checkpoint=tmp_path / "run.pt", every=3600)
    for _ in run:
        assert not (tmp_path / "run.pt").exists()


def test_without_anything_to_keep_no_checkpoint_is_written(tmp_path):
    for _ in Run(numbered(), epochs=3, batch_size=2, checkpoint=tmp_path / "run.pt", every=KEEP_GOING):
        assert not (tmp_path / "run.pt").exists()


@pytest.fixture
def left(tmp_path):
    """A checkpoint that an interrupted training left."""
    Trained(tmp_path / "run.pt", stop=7)
    return tmp_path / "run.pt"


def test_damaged_checkpoints_are_not_trusted(left, capsys):
    raw, whole = left.read_bytes(), Trained()
    weight = raw.index(Trained(stop=6).net.state_dict()["weight"].numpy().tobytes()[:8])  # inside the saved weights
    for broken in (
        raw[: len(raw) // 2],
        raw[:-1],
        b"",
        b"nonsense",
        raw[:weight] + bytes([raw[weight] ^ 1]) + raw[weight + 1 :],
    ):
        left.write_bytes(broken)
        capsys.readouterr()
        anew = Trained(left)
        out = capsys.readouterr().out
        assert f"the checkpoint {left} can't be read" in out and "starting anew" in out
        assert anew.steps == 12 and anew.same_as(whole)


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, [1, 2], torch.zeros(3)])
def test_a_foreign_file_is_not_trusted(left, capsys, content):
    torch.save(content, left)
    assert Trained(left).same_as(Trained()) and "starting anew" in capsys.readouterr().out


OTHERS = [
    {"epochs": 5},
    {"width": 2},
    {"label": "other"},
    {"seeds": (0, 2)},
    {"lr": 0.5},
    {"settings": "sigma2 = 0.2"},
    {"images": Images(numbered().pixels + 1, numbered().labels, ("even", "odd"), "numbered", "train", "test")},
    {"images": numbered()[torch.tensor([0, 3, 2, 1, 4])]},  # the same images in another order
    {"images": Images(numbered().pixels, 1 - numbered().labels, ("even", "odd"), "numbered", "train", "test")},
    {"unlabelled": numbered(7)},
]
OTHER_SECOND_SETS = {
    "none": None,
    "longer": numbered(8),
    "other pixels": Images(numbered(7).pixels + 1, numbered(7).labels, ("even", "odd"), "numbered", "train", "test"),
    "other order": numbered(7)[torch.arange(6, -1, -1)],
    "other name": Images(numbered(7).pixels, numbered(7).labels, ("even", "odd"), "others", "train", "test"),
}


@pytest.mark.parametrize("other", OTHERS, ids=[str(next(iter(other))) for other in OTHERS])
def test_a_checkpoint_of_other_settings_is_not_trusted(left, capsys, other):
    anew = Trained(left, **other)
    assert "is of other settings; starting anew" in capsys.readouterr().out
    assert anew.steps == 3 * other.get("epochs", 4) and anew.same_as(Trained(**other))


@pytest.mark.parametrize("other", OTHER_SECOND_SETS)
def test_a_checkpoint_with_another_second_set_is_not_trusted(tmp_path, capsys, other):
    Trained(tmp_path / "run.pt", stop=7, unlabelled=numbered(7))
    anew = Trained(tmp_path / "run.pt", unlabelled=OTHER_SECOND_SETS[other])
    assert "is of other settings; starting anew" in capsys.readouterr().out
    assert anew.steps == 12 and anew.same_as(Trained(unlabelled=OTHER_SECOND_SETS[other]))


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("0", False), ("", False)])
def test_the_progress_bar_heeds_tqdm_disable(monkeypatch, capsys, value, silent):
    monkeypatch.setenv("TQDM_DISABLE", value)
    for _ in Run(numbered(), epochs=2, batch_size=2, label="lesson"):
        pass
    assert (capsys.readouterr().err == "") is silent

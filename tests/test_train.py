"""Training runs: batches and noise by seed, sample-weighted history, errors, interruption and resume."""

from __future__ import annotations

import copy
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from labkit.arms import Arms
from labkit.history import History
from labkit.sets import Images
from labkit.train import NonFiniteLoss, Run

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
        ({"seeds": (0, 1)}, "2 seeds without arms: pass arms=, or one seed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    given = {"images": numbered(), "epochs": 1, "batch_size": 2, **options}
    with pytest.raises(ValueError, match=message):
        Run(given.pop("images"), **given)


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
            label=label,
            keep=keep,
            checkpoint=checkpoint,
            every=KEEP_GOING,
        )
        self.steps = 0
        with suppress(KeyboardInterrupt, ValueError):
            self.loop(stop, error)

    def loop(self, stop=None, error=KeyboardInterrupt):
        for x, _ in self.run:
            if self.steps == stop:
                raise error
            out = self.net(x.flatten(3).double())
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
]


@pytest.mark.parametrize("other", OTHERS, ids=[str(next(iter(other))) for other in OTHERS])
def test_a_checkpoint_of_other_settings_is_not_trusted(left, capsys, other):
    anew = Trained(left, **other)
    assert "is of other settings; starting anew" in capsys.readouterr().out
    assert anew.steps == 3 * other.get("epochs", 4) and anew.same_as(Trained(**other))


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("0", False), ("", False)])
def test_the_progress_bar_heeds_tqdm_disable(monkeypatch, capsys, value, silent):
    monkeypatch.setenv("TQDM_DISABLE", value)
    for _ in Run(numbered(), epochs=2, batch_size=2, label="lesson"):
        pass
    assert (capsys.readouterr().err == "") is silent

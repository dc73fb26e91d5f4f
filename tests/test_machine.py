"""The machine: which device, whose seed, how many threads."""

from __future__ import annotations

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from labkit import machine


@pytest.fixture
def devices(monkeypatch):
    """A machine with the accelerators that are named."""
    monkeypatch.delenv("LABKIT_DEVICE", raising=False)

    def have(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * ("cuda" in names))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)

    have()
    return have


@pytest.mark.parametrize(("there", "best"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")])
def test_the_best_device_there_is_comes_first(devices, there, best):
    devices(*there)
    assert machine.pick_device() == torch.device(best)


def test_the_argument_goes_before_labkit_device_and_that_before_the_best(devices, monkeypatch):
    devices("cuda", "mps")
    monkeypatch.setenv("LABKIT_DEVICE", "mps")
    assert machine.pick_device() == torch.device("mps")
    assert machine.pick_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("LABKIT_DEVICE", "")
    assert machine.pick_device() == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps", "meta", "cuda:x", "CPU "])
def test_a_device_that_is_not_here_is_named_with_those_that_are(devices, monkeypatch, name):
    with pytest.raises(ValueError, match=r"is not on this machine: use one of cpu \(set LABKIT_DEVICE") as caught:
        machine.pick_device(name)
    assert repr(name) in str(caught.value)
    monkeypatch.setenv("LABKIT_DEVICE", name)
    with pytest.raises(ValueError, match="is not on this machine"):
        machine.pick_device()


def test_a_gpu_number_beyond_the_last_one_is_refused(devices):
    devices("cuda")
    with pytest.raises(ValueError, match=r"'cuda:2': this machine has 2 GPU\(s\), counted from cuda:0"):
        machine.pick_device("cuda:2")


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def states() -> tuple:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return bytes(torch.get_rng_state().numpy()), (kind, keys.tobytes(), *rest), random.getstate()


def test_local_seed_draws_what_a_seeded_process_draws():
    with machine.local_seed(5):
        drawn = draw()
    expected = torch.rand((), generator=torch.Generator().manual_seed(5)).item()
    assert drawn == (expected, np.random.RandomState(5).rand(), random.Random(5).random())
    with machine.local_seed(6):
        assert all(a != b for a, b in zip(draw(), drawn, strict=True))


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_local_seed_puts_all_three_states_back_also_after_an_exception(error):
    before = states()
    try:
        with machine.local_seed(5):
            draw()
            inside = states()
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert states() == before
    assert all(a != b for a, b in zip(before, inside, strict=True))


@pytest.mark.parametrize(("there", "kept"), [((), []), (("cuda",), [1])])
def test_local_seed_keeps_the_state_of_the_current_gpu_alone(devices, monkeypatch, there, kept):
    told = []

    def fork_rng(devices=None):
        told.append(devices)
        return nullcontext()

    devices(*there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    with machine.local_seed(5):
        pass
    assert told == [kept]


def test_a_generator_repeats_itself_and_is_nobody_elses():
    before = torch.get_rng_state()
    first = torch.rand(4, generator=machine.generator(3))
    other = machine.generator(3)
    torch.rand(7)
    machine.generator(4)
    assert torch.equal(torch.rand(4, generator=other), first)
    assert not torch.equal(torch.rand(4, generator=machine.generator(4)), first)
    torch.set_rng_state(before)


def test_autocast_does_nothing_on_a_cpu_and_is_bfloat16_on_a_gpu():
    assert isinstance(machine.autocast(torch.device("cpu")), nullcontext)
    context = machine.autocast(torch.device("cuda"))
    assert isinstance(context, torch.autocast) and context.fast_dtype == torch.bfloat16 and context.device == "cuda"


@pytest.mark.parametrize(("words", "told"), [("3", [3]), ("", []), ("0", []), ("many", []), ("²", [])])
def test_settle_makes_torch_obey_omp_num_threads(monkeypatch, words, told):
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setenv("OMP_NUM_THREADS", words)
    machine.settle(torch.device("cpu"))
    assert threads == told
    machine.settle(torch.device("cpu"), small=True)
    assert threads == (told * 2 or [1])

"""Sample metrics against their definitions, written out in loops."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.samples import prdc, train_judge
from labkit.sets import load


def by_hand(real: list[list[float]], fake: list[list[float]], k: int) -> dict[str, float]:
    """Kynkäänniemi et al. 2019 (precision, recall) and Naeem et al. 2020 (density, coverage), point by point."""

    def radius(points, i):
        return sorted(math.dist(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]

    real_radius = [radius(real, i) for i in range(len(real))]
    fake_radius = [radius(fake, j) for j in range(len(fake))]
    inside_real = [[math.dist(r, f) < real_radius[i] for f in fake] for i, r in enumerate(real)]
    inside_fake = [[math.dist(r, f) < fake_radius[j] for j, f in enumerate(fake)] for r in real]
    return {
        "precision": sum(any(row[j] for row in inside_real) for j in range(len(fake))) / len(fake),
        "recall": sum(any(row) for row in inside_fake) / len(real),
        "density": sum(sum(row) for row in inside_real) / (k * len(fake)),
        "coverage": sum(any(row) for row in inside_real) / len(real),
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_real", "n_fake", "k"), [(12, 9, 1), (40, 31, 5), (35, 60, 3)])
def test_prdc_is_what_the_definitions_say(seed, n_real, n_fake, k):
    rng = torch.Generator().manual_seed(seed)
    real = torch.randn(n_real, 1, 2, 2, generator=rng)
    fake = 0.7 * torch.randn(n_fake, 1, 2, 2, generator=rng) + 0.8
    expected = by_hand(real.flatten(1).tolist(), fake.flatten(1).tolist(), k)
    got = prdc(real, fake, k=k)
    assert got == pytest.approx(expected) and list(got) == ["precision", "recall", "density", "coverage"]
    assert len(set(expected.values())) > 2  # not a case where all is 0 or 1


@pytest.mark.parametrize("seed", range(3))
def test_distances_that_tie_are_outside_as_in_the_definitions(seed):
    rng = torch.Generator().manual_seed(seed)
    real = torch.randint(0, 4, (40, 3), generator=rng) / 3  # a coarse grid: many ties, many twins
    fake = torch.cat([real[:20], torch.randint(0, 4, (20, 3), generator=rng) / 3])
    assert prdc(real, fake) == pytest.approx(by_hand(real.double().tolist(), fake.double().tolist(), 5))


def test_the_extremes_of_prdc():
    real = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    assert prdc(real, real) | {"density": 0} == {"precision": 1, "recall": 1, "density": 0, "coverage": 1}
    assert prdc(real, real + 1000) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    one_mode = prdc(real, real[:1] + 1e-4 * torch.randn(40, 8, generator=torch.Generator().manual_seed(1)))
    assert one_mode["precision"] == 1 and one_mode["recall"] <= 1 / 40 and one_mode["coverage"] < 0.5


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(9, 2), "5 real and 9 fake images are too few for k = 5: give at least 6 of each"),
        (torch.zeros(9, 2), torch.zeros(5, 2), "9 real and 5 fake"),
        (torch.zeros(9, 2), torch.full((9, 2), torch.nan), "some images hold NaN or infinity"),
        (torch.full((9, 2), torch.inf), torch.zeros(9, 2), "some images hold NaN or infinity"),
    ],
)
def test_samples_that_cannot_be_measured_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        prdc(real, fake)


def test_the_judge_knows_real_digits_and_takes_no_more_than_its_limit():
    train, test = load("digits"), load("digits", split="test")
    right = (train_judge(train)(test.floats()) == test.labels.numpy()).mean()
    few = (train_judge(train, limit=30)(test.floats()) == test.labels.numpy()).mean()
    assert right > 0.97 and few < 0.9

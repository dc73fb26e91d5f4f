"""Inputs of lab 04, posterior collapse of a VAE."""

from __future__ import annotations

import numpy as np

from labkit.grading.wants import Case


def reparameterise(rng: np.random.Generator) -> list[Case]:
    """Batches, stacked nets, narrow and wide posteriors; gradients; the same tensors twice."""

    def posterior(*shape: int, spread: float = 1.0) -> dict[str, np.ndarray]:
        return {
            "mu": rng.normal(size=shape),
            "logvar": rng.uniform(-3, 3, shape) * spread,
            "eps": rng.choice([-1, 1], shape) * rng.uniform(0.2, 2, shape),  # never so small that its factor is lost
        }

    return [
        Case("a batch of codes", posterior(6, 5)),
        Case("stacked nets", posterior(2, 3, 4, 5)),
        Case("very narrow and very wide posteriors", posterior(8, 4, spread=20.0)),
        Case("float32", {name: array.astype(np.float32) for name, array in posterior(5, 4).items()}),
        Case("gradients reach mu and logvar", {**posterior(4, 3), "upstream": rng.normal(size=(4, 3))},
             "reparameterise_gradients", 1.5),
        Case("a second call with the same tensors", posterior(4, 4), "reparameterise_twice"),
    ]  # fmt: skip


def neg_elbo(rng: np.random.Generator) -> list[Case]:
    """Grey and colour images, stacked nets of one and of several variances, and the KL by itself."""

    def batch(*shape: int, k: int, sigma2: np.ndarray | float) -> dict[str, np.ndarray]:
        """`shape` is (..., B, C, H, W)."""
        return {
            "x": rng.uniform(size=shape),
            "x_hat": rng.uniform(size=shape),
            "mu": rng.normal(size=(*shape[:-3], k)),
            "logvar": rng.uniform(-4, 1, (*shape[:-3], k)),
            "sigma2": np.asarray(sigma2, dtype=np.float64),
        }

    def variance() -> float:
        """Away from 1/2 and 1, where its square or its factor 1/2 drops out, and from 1/(2 pi), where the constant does."""
        return float(rng.uniform(0.03, 0.12) if rng.integers(2) else rng.uniform(0.2, 0.4))

    upstream = rng.normal(size=5)
    return [
        Case("bound of grey images", batch(6, 1, 4, 5, k=7, sigma2=variance())),
        Case("bound of colour images", batch(4, 3, 5, 2, k=3, sigma2=rng.uniform(2, 4))),
        Case("bound of stacked nets", batch(2, 3, 4, 1, 4, 4, k=5, sigma2=variance())),
        Case("bound of stacked nets, a variance each", batch(3, 2, 4, 1, 3, 4, k=6, sigma2=rng.uniform(0.03, 0.4, (3, 1, 1)))),
        Case("KL of each unit", batch(6, 1, 4, 4, k=5, sigma2=variance()), "kl_of_units"),
        Case("KL of each unit of stacked nets", batch(3, 2, 4, 1, 3, 3, k=4, sigma2=variance()), "kl_of_units"),
        Case("gradients of the bound", {**batch(5, 1, 3, 3, k=4, sigma2=variance()), "upstream": upstream},
             "neg_elbo_gradients"),
    ]  # fmt: skip


def active_units(rng: np.random.Generator) -> list[Case]:
    """Units whose means follow the image, stay put, or move too little; one net and stacked nets."""

    def means(threshold: float, active: np.ndarray, *, shift: float = 0.0, images: int = 40) -> np.ndarray:
        """Means (..., N, K) of units (..., K): variances are a third of the threshold at most, or three times it at least."""
        draws = rng.normal(size=(*active.shape[:-1], images, active.shape[-1]))
        draws = (draws - draws.mean(-2, keepdims=True)) / draws.std(-2, keepdims=True)
        variance = threshold * np.where(active, rng.uniform(3, 60, active.shape), rng.uniform(0.01, 1 / 3, active.shape))
        constant = shift * rng.choice([-1, 1], active.shape) * rng.uniform(1, 2, active.shape)
        return draws * np.sqrt(variance)[..., None, :] + constant[..., None, :]

    def units(*counts: int, of: int = 8) -> np.ndarray:
        """Which units (..., of) are active, where each net has its own number of them."""
        return rng.permuted(np.arange(of) < np.array(counts)[:, None], axis=-1)

    some, other, many = rng.choice([2, 3, 5, 6], size=3)  # not 4 of 8, or the idle ones would be as many
    stack = units(*rng.permutation(np.arange(6)), of=7)
    t = float(rng.uniform(1.0, 1.6)) * 1e-4  # so low that no variance here exceeds 0.01
    return [
        Case("a threshold of 0.01", {"mu": means(0.01, units(some)[0]), "threshold": np.array(0.01)}),
        Case("another threshold", {"mu": means(t, units(other)[0]), "threshold": np.array(t)}),
        Case("means far from zero that hardly change",
             {"mu": means(0.01, units(many)[0], shift=1.0), "threshold": np.array(0.01)}),
        Case("stacked nets", {"mu": means(0.02, stack), "threshold": np.array(0.02)}),
        Case("nets stacked twice, float32",
             {"mu": means(0.05, stack.reshape(2, 3, 7), shift=0.5).astype(np.float32), "threshold": np.array(0.05)}),
    ]  # fmt: skip


def ppca_prediction(rng: np.random.Generator) -> list[Case]:
    """Directions above and below the noise, more and fewer than units, in any order."""

    def directions(above: int, below: int, latent: int, sigma2: float) -> dict[str, np.ndarray]:
        """Ratios to the noise lie in 1.5..50 or below 2/3; neither the smallest nor the largest comes first."""
        large, small = sigma2 * rng.uniform(1.5, 50, above), sigma2 * rng.uniform(0.05, 0.66, below)
        ranked = np.sort(np.concatenate([large, small]))
        values = np.concatenate([rng.permutation(ranked[1:-1]), ranked[:1], ranked[-1:]])
        return {"eigenvalues": values, "sigma2": np.array(sigma2), "latent": np.array(latent)}

    low, high = float(rng.uniform(0.05, 0.6)), float(rng.uniform(1.5, 4))
    blank = directions(4, 3, 12, low)
    blank["eigenvalues"] = np.concatenate([blank["eigenvalues"], np.zeros(2)])
    nothing = {"eigenvalues": high * rng.uniform(0.05, 0.66, 5), "sigma2": np.array(high), "latent": np.array(4)}
    return [
        Case("more units than directions above the noise", directions(int(rng.integers(3, 7)), 4, 20, low)),
        Case("more directions above the noise than units", directions(int(rng.integers(7, 10)), 3, 4, low)),
        Case("a variance above 1", directions(int(rng.integers(3, 6)), 5, 7, high)),
        Case("directions without any variance", blank, weight=0.5),
        Case("nothing above the noise", nothing, weight=0.5),
        Case("units alone, fewer than directions", directions(int(rng.integers(7, 10)), 3, 5, high), "ppca_units"),
        Case("nats alone", directions(int(rng.integers(3, 6)), 6, 7, low), "ppca_nats"),
    ]


def beta_eff(rng: np.random.Generator) -> list[Case]:
    """Sizes of which none is a multiple of the other."""

    def batches(low: int, high: int, sides: np.ndarray) -> dict[str, np.ndarray]:
        sizes = [rng.choice([b for b in range(low, high) if side**2 % b]) for side in sides]
        return {"n_pixels": sides**2, "batch_size": np.array(sizes)}

    return [
        Case("28 x 28 pixels", batches(3, 500, np.full(4, 28))),
        Case("other images", batches(9, 24, rng.integers(9, 60, size=5))),
        Case("batches larger than images have pixels", batches(300, 900, rng.integers(5, 12, size=4))),
    ]


def free_bits(rng: np.random.Generator) -> list[Case]:
    """Units below and above the floor, each with images on both sides of it; one net and stacked nets."""

    def units(floor: np.ndarray | float, *nets: int, images: int = 10, k: int = 6) -> dict[str, np.ndarray]:
        """KL (..., B, K): in each net half of the units have a mean of 0.2 to 0.6 floors, the others of 1.6 to 4."""
        floor = np.asarray(floor, dtype=np.float64)
        below = rng.permuted(np.broadcast_to(np.arange(k) < k // 2, (*nets, k)), axis=-1)
        means = floor * np.where(below, rng.uniform(0.2, 0.6, below.shape), rng.uniform(1.6, 4, below.shape))
        share = rng.exponential(size=(*nets, images, k))
        return {"kl": means[..., None, :] * share / share.mean(-2, keepdims=True), "floor": floor}

    arms = rng.uniform(0.05, 1, (3, 1, 1))
    plain = {**units(0.3, 2, 2), "floor": np.array(0.0)}
    return [
        Case("one net", units(rng.uniform(0.02, 0.1))),
        Case("a high floor", units(rng.uniform(1, 3), images=7, k=9)),
        Case("a floor of 0 is the plain KL", plain, weight=0.5),
        Case("stacked nets", units(rng.uniform(0.1, 0.4), 2, 3)),
        Case("stacked nets, a floor each", units(arms, 3, 2)),
        Case("a gradient above the floor only", units(rng.uniform(0.1, 0.5)), "free_bits_gradient"),
    ]


def knock_out(rng: np.random.Generator) -> list[Case]:
    """One net and stacked nets, grey and colour images, a unit wired to nothing, the same tensors twice."""

    def net(*nets: int, image: tuple[int, int, int], images: int = 9, k: int = 4, loose: int = 0) -> dict[str, np.ndarray]:
        """A decoder whose first `loose` units change nothing; images that it gets nearly right from net 0's codes."""
        weights = rng.normal(size=(k, *image)) / k**0.5
        weights[:loose] = 0
        z = rng.normal(size=(*nets, images, k))
        x = np.tanh(np.tensordot(z.reshape(-1, images, k)[0], weights, 1)) + 0.2 * rng.normal(size=(images, *image))
        ring, order = rng.permutation(images), np.empty(images, dtype=np.int64)
        order[ring] = np.roll(ring, 1)  # one ring of all images: none keeps its place, and the way back is another order
        return {"weights": weights, "z": z, "x": x, "order": order}

    return [
        Case("one net", net(image=(1, 3, 3))),
        Case("colour images", net(image=(3, 4, 2), k=5)),
        Case("a unit that nothing is wired to", net(image=(1, 2, 4), loose=1)),
        Case("stacked nets", net(2, 3, image=(1, 3, 2))),
        Case("stacked nets, colour images", net(3, 1, image=(3, 2, 2), k=3)),
        Case("a second call with the same tensors", net(image=(1, 3, 3), k=3), "knock_out_twice"),
    ]


EXERCISES = {
    "reparameterise": reparameterise,
    "neg-elbo": neg_elbo,
    "active-units": active_units,
    "ppca": ppca_prediction,
    "beta-eff": beta_eff,
    "free-bits": free_bits,
    "knock-out": knock_out,
}

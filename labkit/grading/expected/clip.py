"""What is expected in lab 05: CLIP (Radford et al. 2021, arXiv:2103.00020), its gap (Liang et al. 2022, arXiv:2203.02053)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import polar
from scipy.special import log_softmax, softmax

from labkit.grading.wants import Near, Wants


def _near(value: np.ndarray | float) -> Near:
    """Near enough for a right answer that is worked out in single precision: its numbers are of size 1."""
    return Near(np.asarray(value, dtype=np.float64), rtol=1e-5, atol=3e-6)


def _unit(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    long: np.ndarray = wide / np.sqrt((wide**2).sum(-1, keepdims=True))
    return long


def _unchanged() -> Wants:
    return {"unchanged": np.array(True), "gradients on": np.array(True)}


def _classes(features: np.ndarray) -> np.ndarray:
    """A class's row (K, D) points where the sum of its unit prompts (K, T, D) does."""
    return _unit(_unit(features).sum(1))


def zero_shot_classifier(class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray) -> Wants:
    """One row a class, in their order."""
    return {"rows": _near(_classes(features))}


def zero_shot_of_tuples(class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray) -> Wants:
    """The same."""
    return {"rows": _near(_classes(features))}


def zero_shot_scores(
    class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray, images: np.ndarray
) -> Wants:
    """Each image's products with all rows."""
    return {"scores": _near(np.einsum("nd,kd->nk", images, _classes(features)))}


def zero_shot_leaves(class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()


def recall_by_name(
    images: np.ndarray, class_names: np.ndarray, label: np.ndarray, candidates: np.ndarray, features: np.ndarray
) -> Wants:
    """The share of images whose cosine with a candidate is above those with all other classes."""
    cosines, k = _unit(images) @ _unit(features).T, len(class_names)
    rival = np.delete(cosines[:, :k], int(label), axis=1).max(1)
    return {"shares": _near((cosines[:, k:] > rival[:, None]).mean(0))}


def recall_of_tuples(
    images: np.ndarray, class_names: np.ndarray, label: np.ndarray, candidates: np.ndarray, features: np.ndarray
) -> Wants:
    """The same, for the candidates alone."""
    wants = recall_by_name(images, class_names, label, candidates, features)
    return {**wants, "names": np.array(len(candidates))}


def recall_leaves(
    images: np.ndarray, class_names: np.ndarray, label: np.ndarray, candidates: np.ndarray, features: np.ndarray
) -> Wants:
    """Nothing changes."""
    return _unchanged()


def _measured(images: np.ndarray, texts: np.ndarray) -> dict[str, float]:
    """The four numbers from squared lengths of sums: the unit rows' Gram sums need no matrix of cosines."""
    x, y = _unit(images), _unit(texts)
    n, sx, sy = len(x), x.sum(0), y.sum(0)
    matched = (x * y).sum() / n
    pairs = n * (n - 1)
    # |sum of unit rows|² is n, from each row with itself, and the cosines of all ordered pairs of different rows
    within = ((sx @ sx - n) / pairs + (sy @ sy - n) / pairs) / 2
    return {
        "gap": float(np.linalg.norm(sx - sy) / n),
        "matched": float(matched),
        "mismatched": float((sx @ sy - n * matched) / pairs),
        "rmg": float((1 - matched) / (2 - matched - within)),
    }


def gap_metrics(images: np.ndarray, texts: np.ndarray) -> Wants:
    """All four."""
    return {name: _near(value) for name, value in _measured(images, texts).items()}


def gap_of_means(images: np.ndarray, texts: np.ndarray) -> Wants:
    """The distance of the means of unit features."""
    return {"gap": _near(_measured(images, texts)["gap"])}


def gap_cosines(images: np.ndarray, texts: np.ndarray) -> Wants:
    """Of matched pairs, and of all others."""
    numbers = _measured(images, texts)
    return {name: _near(numbers[name]) for name in ("matched", "mismatched")}


def gap_relative(images: np.ndarray, texts: np.ndarray) -> Wants:
    """m / (m + w); that distances are halved cancels out."""
    return {"rmg": _near(_measured(images, texts)["rmg"])}


def gap_as_row(images: np.ndarray, texts: np.ndarray) -> Wants:
    """All four, in this order, and no others."""
    return {"row": _near(np.array(list(_measured(images, texts).values()))), "entries": np.array(4)}


def gap_leaves(images: np.ndarray, texts: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()


def clip_loss(images: np.ndarray, texts: np.ndarray, temperature: np.ndarray) -> Wants:
    """The mean cross-entropy of rows and columns of the cosines (..., N, N) over the temperature."""
    z = np.einsum("...id,...jd->...ij", _unit(images), _unit(texts)) / temperature
    both = log_softmax(z, axis=-1) + log_softmax(z, axis=-2)
    return {"loss": _near(-np.einsum("...ii->...", both) / (2 * z.shape[-1]))}


def _slopes(images: np.ndarray, texts: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
    """Gradients of one batch's loss by hand: through both softmaxes, the products and the lengths."""
    x, y, n = _unit(images), _unit(texts), len(images)
    cosines = x @ y.T
    at_logits = (softmax(cosines / t, axis=1) + softmax(cosines / t, axis=0) - 2 * np.eye(n)) / (2 * n)

    def past_length(slope: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
        across: np.ndarray = slope - (slope * unit).sum(1, keepdims=True) * unit
        return across / np.linalg.norm(rows, axis=1, keepdims=True)

    return {
        "images": past_length(at_logits @ y / t, images, x),
        "texts": past_length(at_logits.T @ x / t, texts, y),
        "temperature": -(at_logits * cosines).sum() / t**2,
    }


def clip_loss_slopes(images: np.ndarray, texts: np.ndarray, temperature: np.ndarray) -> Wants:
    """At images and texts."""
    slopes = _slopes(images, texts, temperature)
    return {name: _near(slopes[name]) for name in ("images", "texts")}


def clip_loss_slope_of_temperature(images: np.ndarray, texts: np.ndarray, temperature: np.ndarray) -> Wants:
    """At the temperature."""
    return {"temperature": _near(_slopes(images, texts, temperature)["temperature"])}


def clip_loss_leaves(images: np.ndarray, texts: np.ndarray, temperature: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()


def _moved(images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each modality, carried half of `amount` towards the other's mean."""
    x, y = _unit(images), _unit(texts)
    to_texts = np.average(y, axis=0) - np.average(x, axis=0)
    return _unit(x + 0.5 * amount * to_texts), _unit(y - 0.5 * amount * to_texts)


def shifted(images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> Wants:
    """Both."""
    x, y = _moved(images, texts, amount)
    return {"images": _near(x), "texts": _near(y)}


def shifted_joined(images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> Wants:
    """Both, one after the other."""
    return {"all": _near(np.concatenate(_moved(images, texts, amount)))}


def shifted_leaves(images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()


def _rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The orthogonal factor of the polar decomposition of source.T @ target (Schoenemann 1966)."""
    r: np.ndarray = polar(source.astype(np.float64).T @ target.astype(np.float64))[0]
    return r


def _turned(value: np.ndarray) -> Near:
    """Near enough for single precision where a stretch of a tenth of the largest passes on ten times its rounding."""
    return Near(value, rtol=1e-5, atol=3e-5)


def procrustes(source: np.ndarray, target: np.ndarray) -> Wants:
    """R, which is the only one: source.T @ target has full rank here."""
    return {"R": _turned(_rotation(source, target))}


def procrustes_of_few(source: np.ndarray, target: np.ndarray) -> Wants:
    """Several R are right: each is orthogonal, and takes the source, which spans n dimensions, to the same place."""
    return {
        "R.T @ R": Near(np.eye(source.shape[1]), atol=1e-6, of=lambda got: got["R"].T @ got["R"]),
        "source @ R": Near(source @ _rotation(source, target), atol=1e-6, of=lambda got: source @ got["R"]),
    }


def procrustes_turned(source: np.ndarray, target: np.ndarray) -> Wants:
    """The source after its turn."""
    return {"turned": _turned(source.astype(np.float64) @ _rotation(source, target))}


def procrustes_leaves(source: np.ndarray, target: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()


def _onto_texts(images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> np.ndarray:
    x, y = _unit(images), _unit(texts)
    found: np.ndarray = x @ _rotation(x[fit_on], y[fit_on])
    return found


def repaired(images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> Wants:
    """All images, turned by what fits the pairs of `fit_on` best."""
    return {"images": _turned(_onto_texts(images, texts, fit_on))}


def repaired_compared(images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> Wants:
    """Products with texts that nobody turned."""
    return {"products": _turned(texts @ _onto_texts(images, texts, fit_on).T)}


def repaired_leaves(images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> Wants:
    """Nothing changes."""
    return _unchanged()

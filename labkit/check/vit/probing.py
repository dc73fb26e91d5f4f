"""Checks of lab 02: two linear probes, compared with a logistic regression that is fitted by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.check.frame import Case, Mistake, draw, judge, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.vit.small import apply

_ATOL = 4e-3  # scikit-learn stops where probabilities are good to about 5e-4
_OWN = "each probe is fitted on its own view of the training images, and reads the same view of the test images"
_TRAIN = "fit the scaler on the training images, and only apply it to the test images: a pipeline does so"
_MEAN = "the mean is over the patch tokens, tokens[:, 1:], dimension 1"
_HINTS = {
    "features as input": _OWN,
    "with dim 3": "a probe takes one row of numbers an image: tokens[:, 0], or the mean over the patches",
    "dim 3. ": "a probe takes one row of numbers an image: tokens[:, 0], or the mean over the patches",
    "inconsistent numbers of samples": "a row of features is an image: means are over dimension 1, the tokens",
}  # fmt: skip


def two_probes(function: Callable[..., Any]) -> None:
    """Check `two_probes(train_tokens, train_y, test_tokens)`: -> {"CLS": (n, classes), "mean": (n, classes)}."""
    Features = dict[str, np.ndarray]

    def tokens(n: int, kinds: int, patches: int, width: int, seed: int, *, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Tokens (n, 1 + patches, width), and labels of unequal numbers; test images are brighter than training images."""
        y = np.arange(n) * 3 % (2 * kinds - 1) % kinds  # the last class is half as frequent
        centres = 0.7 * draw(2, kinds, width, seed=seed).numpy()
        noise = draw(n, 1 + patches, width, seed=seed + 1 + test).numpy()
        found = np.concatenate([centres[0][y][:, None] + noise[:, :1], centres[1][y][:, None] + noise[:, 1:]], 1)
        scales = np.array([1.0, 6.0, 0.2, 2.0, 0.5][:width])
        return (found + 0.7 * test * np.array([1, -1, 1, 0, 1][:width])) * scales * (1 + 0.3 * test) + 2 * scales[::-1], y

    def scaled(x: np.ndarray, by: np.ndarray) -> np.ndarray:
        spread = by.var(0) ** 0.5
        return (x - by.mean(0)) / np.where(spread > 0, spread, 1.0)

    def newton(x: np.ndarray, y: np.ndarray, c: float = 1.0, even: bool = False) -> np.ndarray:
        """Weights (classes, 1 + features) at which the sum of cross-entropies + |w|^2 / (2 c) is least, intercepts free."""
        kinds, ones = int(y.max()) + 1, np.concatenate([np.ones((len(x), 1)), x], 1)
        truth, w = np.eye(kinds)[y], np.zeros((kinds, ones.shape[1]))
        weight = (len(y) / kinds / truth.sum(0))[y] if even else np.ones(len(y))
        pull = np.concatenate([[1e-9], np.full(x.shape[1], 1 / c)])

        def loss(w: np.ndarray) -> float:
            z = ones @ w.T
            return float((weight * (np.logaddexp.reduce(z, 1) - z[truth > 0])).sum() + (pull * w * w).sum() / 2)

        for _ in range(30):
            p = chances(x, w)
            slope = ((p - truth) * weight[:, None]).T @ ones + pull * w
            spread = weight[:, None, None] * p[:, :, None] * (np.eye(kinds) - p[:, None])
            bend = np.einsum("iab,id,ie->adbe", spread, ones, ones, optimize=True)
            step = np.linalg.solve(bend.reshape(w.size, w.size) + np.diag(np.tile(pull, kinds)), slope.ravel()).reshape(w.shape)
            size = 1.0
            while size > 1e-4 and loss(w - size * step) > loss(w):
                size /= 2
            w = w - size * step
            if np.abs(step).max() < 1e-9:
                break
        return w

    def values(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        z: np.ndarray = x @ w[:, 1:].T + w[:, 0]
        return z - z.mean(1, keepdims=True)

    def chances(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        powers = np.exp(values(x, w))
        out: np.ndarray = powers / powers.sum(1, keepdims=True)
        return out

    def views(t: np.ndarray) -> Features:
        return {"CLS": t[:, 0], "mean": sum(t[:, i] for i in range(1, t.shape[1])) / (t.shape[1] - 1)}

    def probe(x: np.ndarray, y: np.ndarray, z: np.ndarray, **options: Any) -> np.ndarray:
        return chances(scaled(z, x), newton(scaled(x, x), y, **options))

    def wanted(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> Features:
        seen = views(test)
        return {name: probe(x, y, seen[name]) for name, x in views(train).items()}

    def known(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What well-known mistakes give."""
        a, b = views(train), views(test)
        right, ws = wanted(train, y, test), {name: newton(scaled(x, x), y) for name, x in a.items()}
        cls, mean = right["CLS"], right["mean"]

        def both(rule: Callable[[str], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            return rule("CLS"), rule("mean")

        def view(cut: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return probe(cut(train), y, cut(test))

        def fitted(change: Callable[[str, np.ndarray], np.ndarray], **options: Any) -> tuple[np.ndarray, np.ndarray]:
            """Probes on features that are standardised in another way."""
            return both(lambda name: chances(change(name, b[name]), newton(change(name, a[name]), y, **options)))

        flat, all_of = train.reshape(-1, train.shape[2]), {name: np.concatenate([a[name], b[name]]) for name in a}
        even = views(scaled(train.reshape(-1, train.shape[2]), flat).reshape(train.shape))
        even_test = views(scaled(test.reshape(-1, train.shape[2]), flat).reshape(test.shape))
        return {
            "the two are swapped": (mean, cls),
            f"the mean includes the class token: {_MEAN}": (cls, view(lambda t: t.mean(1))),
            f"the mean leaves out the first patch: {_MEAN}": (cls, view(lambda t: t[:, 2:].mean(1))),
            f"this is the mean over the features: {_MEAN}": (cls, view(lambda t: t[:, 1:].mean(2))),
            f"this is the mean over the features of all tokens: {_MEAN}": (cls, view(lambda t: t.mean(2))),
            f"this is the largest of the patches: {_MEAN}": (cls, view(lambda t: t[:, 1:].max(1))),
            f"this is the largest of all tokens: {_MEAN}": (cls, view(lambda t: t.max(1))),
            f"this is the median of the patches: {_MEAN}": (cls, view(lambda t: np.median(t[:, 1:], 1))),
            "the last token was read as the class token: it is token 0": (view(lambda t: t[:, -1]), mean),
            "the first patch was read as the class token: it is token 0": (view(lambda t: t[:, 1]), mean),
            "the tokens were flattened: a view has one row of D numbers an image": (view(lambda t: t.reshape(len(t), -1)),) * 2,
            "the patches were flattened: take their mean": (cls, view(lambda t: t[:, 1:].reshape(len(t), -1))),
            f"the probe of the class token was asked for both: {_OWN}": (cls, chances(scaled(b["mean"], a["mean"]), ws["CLS"])),
            f"the probe of the class token, and its scaler, were asked for both: {_OWN}":
                (cls, chances(scaled(b["mean"], a["CLS"]), ws["CLS"])),
            f"the probe of the mean, and its scaler, were asked for both: {_OWN}":
                (chances(scaled(b["CLS"], a["mean"]), ws["mean"]), mean),
            f"both are of the class token: {_OWN}": (cls, cls),
            f"both are of the mean: {_OWN}": (mean, mean),
            f"the scaler was fitted again on the test images: {_TRAIN}":
                both(lambda name: chances(scaled(b[name], b[name]), ws[name])),
            f"the features were standardised with the test images' mean and deviation: {_TRAIN}":
                both(lambda name: chances(scaled(b[name], b[name]), newton(scaled(a[name], b[name]), y))),
            f"the scaler was fitted on training and test images together: {_TRAIN}":
                fitted(lambda name, x: scaled(x, all_of[name])),
            f"the training images were standardised, and the test images were not: {_TRAIN}":
                both(lambda name: chances(b[name], ws[name])),
            "the features were not standardised, or nothing but their mean was subtracted": fitted(lambda name, x: x),
            "each image was standardised on its own: mean and deviation are of each feature, over the training images":
                fitted(lambda name, x: scaled(x.T, x.T).T),
            "mean and deviation are of all tokens: standardise each view": both(
                lambda name: chances(even_test[name], newton(even[name], y))),
            "these are predictions: predict_proba gives probabilities": both(lambda name: right[name].argmax(1)),
            "these are predictions as rows of 0 and 1: predict_proba gives probabilities":
                both(lambda name: np.eye(right[name].shape[1])[right[name].argmax(1)]),
            "these are decision values: predict_proba gives probabilities":
                both(lambda name: values(scaled(b[name], a[name]), ws[name])),
            "these are logarithms: predict_proba, not predict_log_proba": both(lambda name: np.log(right[name])),
            "this is the highest probability of each image: all classes are asked for": both(lambda name: right[name].max(1)),
            "this is what the probes say of the training images": both(lambda name: probe(a[name], y, a[name])),
            "class_weight='balanced': keep the default options": both(lambda name: probe(a[name], y, b[name], even=True)),
            **{f"C = {c:g}: keep the default, 1": both(lambda name, c=c: probe(a[name], y, b[name], c=c))  # type: ignore[misc]
               for c in (1e-3, 0.01, 0.1, 0.5, 10.0, 100.0, 1e3, 1e6)}}  # fmt: skip

    def run(f: Callable[..., Any], train: np.ndarray, y: np.ndarray, test: np.ndarray) -> dict[str, Any]:
        takes(f, "train_tokens", "train_y", "test_tokens")
        out = apply(f, train, y, test, hints=_HINTS)
        if not isinstance(out, dict) or set(out) != {"CLS", "mean"}:
            got = f"keys {', '.join(map(repr, out))}" if isinstance(out, dict) else type(out).__name__
            raise Mistake("a dict with the keys 'CLS' and 'mean'", got,
                          "the function has no return statement" if out is None else "")  # fmt: skip
        for name, part in out.items():
            if not isinstance(part, np.ndarray):
                cause = "this is the probe: .predict_proba(...) of the test images" if hasattr(part, "predict_proba") else ""
                raise Mistake(f"a NumPy array for {name!r}", type(part).__name__, cause)
        return {name: out[name] for name in ("CLS", "mean")}

    def probed(f: Callable[..., Any], n: int, test_n: int, kinds: int, patches: int, width: int, seed: int) -> None:
        train, y = tokens(n, kinds, patches, width, seed)
        test, _ = tokens(test_n, kinds, patches, width, seed, test=True)
        got = run(f, train.copy(), y.copy(), test.copy())
        causes = (lambda: known(train, y, test)) if kinds == 3 else dict  # once is enough, since they take a while
        judge(got, wanted(train, y, test), causes, rtol=0, atol=_ATOL, near=0.03)

    def alone(f: Callable[..., Any]) -> None:
        (train, y), (test, _) = tokens(40, 3, 4, 4, seed=50), tokens(9, 3, 4, 4, seed=50, test=True)
        together = run(f, train, y, test)
        last = run(f, train, y, test[-1:])
        try:
            judge(last, {name: part[-1:] for name, part in together.items()}, dict, rtol=0, atol=_ATOL)
        except Mistake as mistake:
            raise Mistake(mistake.expected, mistake.got, "what a probe says of an image depends on which other test images "
                          f"there are: {_TRAIN}") from None  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        (train, y), (test, _) = tokens(40, 3, 4, 4, seed=50), tokens(9, 3, 4, 4, seed=50, test=True)
        given = {"train_tokens": train, "train_y": y, "test_tokens": test}
        copies = {name: values.copy() for name, values in given.items()}
        run(f, train, y, test)
        for name, values in given.items():
            if not np.array_equal(values, copies[name]):
                raise Mistake(f"{name} unchanged", "changed values", "an operation in place (-=, /= or copy=False)")

    with undisturbed():
        run_cases(
            "two_probes",
            function,
            [
                Case("40 training and 25 test images of three classes, 4 patches",
                     lambda f: probed(f, 40, 25, 3, 4, 4, seed=50)),
                Case("56 training images of four classes, 3 patches, 5 features",
                     lambda f: probed(f, 56, 12, 4, 3, 5, seed=61)),
                Case("a test image on its own", alone),
                Case("tokens and labels stay as they are", left_alone),
            ],
            reread="section 5, on the two probes: what each of them reads, and whose mean and deviation standardise",
        )  # fmt: skip

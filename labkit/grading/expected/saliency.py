"""What is expected in lab 07, saliency, fooling images and class visualisation: slopes by hand, in float64."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from labkit.grading.wants import Near, Wants

_EPS = 1e-5  # of batch norm


class _Net:
    """The net of the adapters, V tanh(U norm(x) + W x + c) + d, at images x, with its slopes."""

    def __init__(self, channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, *,
                 norm_trains: bool = False, all_dropped: bool = False) -> None:  # fmt: skip
        x = x.astype(np.float64)
        gain, shift, mean, variance = channels.astype(np.float64)
        if norm_trains:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        self.shape, self.inner, self.last = x.shape, inner.astype(np.float64), last.astype(np.float64)
        self.scale = (gain / np.sqrt(variance + _EPS))[:, None, None]
        self.normed = ((x - mean[:, None, None]) * self.scale + shift[:, None, None]).reshape(len(x), -1)
        side = np.zeros_like(self.normed) if all_dropped else x.reshape(len(x), -1)
        self.hidden = np.tanh(np.hstack([self.normed, side, np.ones((len(x), 1))]) @ self.inner.T)
        self.logits = self.hidden @ self.last[:, :-1].T + self.last[:, -1]

    def slopes(self, y: np.ndarray) -> np.ndarray:
        """d s_y / d x, (B, 3, H, W), in evaluation mode."""
        at_inner = self.last[y, :-1] * (1 - self.hidden**2)
        main, side, _ = np.split(at_inner @ self.inner, [self.normed.shape[1], 2 * self.normed.shape[1]], axis=1)
        return main.reshape(self.shape) * self.scale + side.reshape(self.shape)

    def training(self, gradient: np.ndarray) -> dict[str, Near]:
        """Gradients of half the sum of squared logits; at V, `gradient` was there before."""
        at_inner = self.logits @ self.last[:, :-1] * (1 - self.hidden**2)
        return {
            "gradient at the last layer": _about(gradient + self.logits.T @ self.hidden),
            "gradient at the first layer": _about(at_inner.T @ self.normed),
            "gradient of what is frozen": _about(np.zeros(len(self.last))),
        }


def _about(value: np.ndarray) -> Near:
    """Inputs may be float32, and sums may be kept in it: right answers were seen to use up to 4 % of these tolerances."""
    return Near(value, rtol=1e-4, atol=1e-5)


def _length(v: np.ndarray) -> np.ndarray:
    return np.sqrt((v**2).sum(axis=(1, 2, 3), keepdims=True))


def _unit(v: np.ndarray) -> np.ndarray:
    """Each image divided by its length; 0 where that is 0."""
    length = _length(v)
    return np.divide(v, length, out=np.zeros_like(v), where=length > 0)


def _untouched() -> Wants:
    return {"unchanged": np.array(True), "no graph": np.array(True)}


def _maps(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    largest: np.ndarray = np.abs(_Net(channels, inner, last, x).slopes(y)).max(axis=1)
    return largest


def saliency(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
             modes: np.ndarray) -> Wants:  # fmt: skip
    """The largest |slope| of the channels in evaluation mode, whatever the modes; Simonyan et al. 2014 (arXiv:1312.6034)."""
    return {"maps": _about(_maps(channels, inner, last, x, y))}


def saliency_and_modes(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                       modes: np.ndarray) -> Wants:  # fmt: skip
    """Also the modes as they came: of the batch norm (1) and of the dropout (4) the logits tell."""
    after = _Net(channels, inner, last, x, norm_trains=bool(modes[1]), all_dropped=bool(modes[4]))
    return {
        **saliency(channels, inner, last, x, y, modes),
        "modes afterwards": modes,
        "logits afterwards": _about(after.logits),
    }


def saliency_after_error(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                         modes: np.ndarray) -> Wants:  # fmt: skip
    """The same after an error, which arrives."""
    return {**saliency_and_modes(channels, inner, last, x, y, modes), "the error arrives": np.array(True)}


def saliency_then_training(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                           gradient: np.ndarray) -> Wants:  # fmt: skip
    """As if nothing had been called."""
    net = _Net(channels, inner, last, x)
    return {"second result": _about(_maps(channels, inner, last, x, y)), **net.training(gradient)}


def saliency_leaves(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                    grad: np.ndarray) -> Wants:  # fmt: skip
    """Nothing changes."""
    return _untouched()


def _attributions(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                  baseline: np.ndarray, steps: np.ndarray) -> np.ndarray:  # fmt: skip
    """Sundararajan et al. 2017 (arXiv:1703.01365), by the midpoint rule."""
    way = x.astype(np.float64) - baseline
    shares = np.arange(1, 2 * int(steps), 2) / (2 * int(steps))
    slopes = [_Net(channels, inner, last, baseline + share * way).slopes(y) for share in shares]
    product: np.ndarray = way * np.mean(slopes, axis=0)
    return product


def integrated_gradients(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                         baseline: np.ndarray, steps: np.ndarray) -> Wants:  # fmt: skip
    """x - b times the mean slope at the midpoints."""
    return {"attributions": _about(_attributions(channels, inner, last, x, y, baseline, steps))}


def integrated_gradients_add_up(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                                baseline: np.ndarray, steps: np.ndarray) -> Wants:  # fmt: skip
    """Completeness: each image's sum is what its logit gains; the rule itself was seen to be off by 3e-4 with 30 steps."""
    rows = np.arange(len(y))
    gain = _Net(channels, inner, last, x).logits[rows, y] - _Net(channels, inner, last, baseline).logits[rows, y]
    return {"attributions": Near(gain, rtol=2e-3, atol=2e-3, of=lambda got: got["attributions"].sum(axis=(1, 2, 3)))}


def integrated_gradients_then_training(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                                       y: np.ndarray, baseline: np.ndarray, steps: np.ndarray, gradient: np.ndarray
                                       ) -> Wants:  # fmt: skip
    """As if nothing had been called."""
    second = _attributions(channels, inner, last, x, y, baseline, steps)
    return {"second result": _about(second), **_Net(channels, inner, last, x).training(gradient)}


def integrated_gradients_leaves(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                                baseline: np.ndarray, steps: np.ndarray) -> Wants:  # fmt: skip
    """Nothing changes."""
    return _untouched()


def _probabilities(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                   maps: np.ndarray, shares: np.ndarray, fill: np.ndarray) -> np.ndarray:  # fmt: skip
    """Petsiuk et al. 2018 (arXiv:1806.07421): image by image, the pixels of highest value painted over one after another."""
    curve = np.empty((len(shares), len(x)))
    for b, k in enumerate(y):
        rows, columns = np.unravel_index(np.argsort(-maps[b], axis=None), maps[b].shape)
        for i, share in enumerate(shares):
            n = int(share * maps[b].size + 0.5)  # shares are drawn so that nothing is halfway
            image = x[b].copy()
            image[:, rows[:n], columns[:n]] = fill[b][:, rows[:n], columns[:n]]
            curve[i, b] = softmax(_Net(channels, inner, last, image[None]).logits[0])[k]
    return curve


def deletion_curve(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray, maps: np.ndarray,
                   shares: np.ndarray, fill: np.ndarray) -> Wants:  # fmt: skip
    """A row a share, in the order in which they came."""
    return {"probabilities": _about(_probabilities(channels, inner, last, x, y, maps, shares, fill))}


def deletion_curve_then_training(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                                 maps: np.ndarray, shares: np.ndarray, fill: np.ndarray, gradient: np.ndarray
                                 ) -> Wants:  # fmt: skip
    """As if nothing had been called."""
    second = _probabilities(channels, inner, last, x, y, maps, shares, fill)
    return {"second result": _about(second), **_Net(channels, inner, last, x).training(gradient)}


def deletion_curve_leaves(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, y: np.ndarray,
                          maps: np.ndarray, shares: np.ndarray, fill: np.ndarray) -> Wants:  # fmt: skip
    """Nothing changes."""
    return _untouched()


def _fooled(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, target: np.ndarray,
            eta: np.ndarray) -> np.ndarray:  # fmt: skip
    step = _unit(_Net(channels, inner, last, x).slopes(target))
    return np.clip(x + eta * step, 0, 1)


def fooling_step(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, target: np.ndarray,
                 eta: np.ndarray) -> Wants:  # fmt: skip
    """Uphill by eta, then back to 0..1."""
    return {"images": _about(_fooled(channels, inner, last, x, target, eta))}


def fooling_step_then_training(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, target: np.ndarray,
                               eta: np.ndarray, gradient: np.ndarray) -> Wants:  # fmt: skip
    """As if nothing had been called."""
    second = _fooled(channels, inner, last, x, target, eta)
    return {"second result": _about(second), **_Net(channels, inner, last, x).training(gradient)}


def fooling_step_leaves(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray, target: np.ndarray,
                        eta: np.ndarray, grad: np.ndarray) -> Wants:  # fmt: skip
    """Nothing changes."""
    return _untouched()


def _home(z: np.ndarray, x: np.ndarray, radius: np.ndarray, norm: str) -> np.ndarray:
    d = z.astype(np.float64) - x
    ball = np.sign(d) * np.minimum(np.abs(d), radius) if norm == "Linf" else _unit(d) * np.minimum(_length(d), radius)
    return np.clip(x + ball, 0, 1)


def project(z: np.ndarray, x: np.ndarray, radius: np.ndarray, norm: np.ndarray) -> Wants:
    """Each difference, or each image's distance, cut to the radius; then the pixels to 0..1."""
    return {"images": _about(_home(z, x, radius, str(norm)))}


def project_twice(z: np.ndarray, x: np.ndarray, radius: np.ndarray) -> Wants:
    """As if each were the first call."""
    return {norm: _about(_home(z, x, radius, norm)) for norm in ("Linf", "L2")}


def _climbed(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, u: np.ndarray, target: np.ndarray, rate: np.ndarray,
             lam: np.ndarray, squared: np.ndarray) -> np.ndarray:  # fmt: skip
    v = u.astype(np.float64)
    pull = 2 * v if squared else _unit(v)
    climbed: np.ndarray = v + rate * _unit(_Net(channels, inner, last, v).slopes(target) - lam * pull)
    return climbed


def visualisation_step(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, u: np.ndarray, target: np.ndarray,
                       rate: np.ndarray, lam: np.ndarray, squared: np.ndarray) -> Wants:  # fmt: skip
    """Uphill by `rate` on the logit less lam times the penalty, whose gradient is u / |u|, or 2 u."""
    return {"u": _about(_climbed(channels, inner, last, u, target, rate, lam, squared))}


def visualisation_step_then_training(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, u: np.ndarray,
                                     target: np.ndarray, rate: np.ndarray, lam: np.ndarray, squared: np.ndarray,
                                     gradient: np.ndarray) -> Wants:  # fmt: skip
    """As if nothing had been called."""
    second = _climbed(channels, inner, last, u, target, rate, lam, squared)
    return {"second result": _about(second), **_Net(channels, inner, last, u).training(gradient)}


def visualisation_step_leaves(channels: np.ndarray, inner: np.ndarray, last: np.ndarray, u: np.ndarray, target: np.ndarray,
                              rate: np.ndarray, lam: np.ndarray, squared: np.ndarray, grad: np.ndarray) -> Wants:  # fmt: skip
    """Nothing changes."""
    return _untouched()

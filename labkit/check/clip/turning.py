"""Checks of lab 05: images that are turned onto the texts, by a rotation that is known from the pairs it is fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.clip.small import apply, features, intact, orthogonal, plane, tensor, unit
from labkit.check.frame import F64, Case, Mistake, draw, judge, run_cases, takes
from labkit.check.nets import undisturbed

_SIDE = "rows are turned by x @ R, for the R that brings images @ R closest to texts"
_FIT = "it is fitted on the pairs for which fit_on is True, so that the others are new to it"
_ALL = "all images are turned and returned, whether fitted on or not"
_TEXTS = "images are turned onto the texts, and texts stay where they are"
_LENGTH = "images and texts have length 1 before the fit, and images keep it"
_HINTS = {
    "array of object": "orthogonal_procrustes takes arrays: .numpy() of a tensor",
    "'tuple'": "orthogonal_procrustes returns R and a number: R, _ = orthogonal_procrustes(a, b)",
    "tuple": "orthogonal_procrustes returns R and a number: R, _ = orthogonal_procrustes(a, b)",
    "unsupported operand type(s) for @": "torch.from_numpy makes a tensor of the array R: x @ torch.from_numpy(R)",
    "shape of the mask": "fit_on is a row of N, one True or False a pair: x[fit_on] are the rows it names",
    "do not match": "the pairs are x[fit_on] and y[fit_on]: the same rows of both",
    "the shapes of A and B differ": "the pairs are x[fit_on] and y[fit_on]: the same rows of both",
    "must have the same dtype": "R has another dtype than the images: x @ R.to(x.dtype)",
    "expected m1 and m2 to have the same dtype": "R has another dtype than the images: x @ R.to(x.dtype)",
    "mat1 and mat2 shapes cannot be multiplied": f"the pairs are x[fit_on] and y[fit_on], the same rows of both; {_SIDE}",
}  # fmt: skip


def repaired(function: Callable[..., Any]) -> None:
    """Check `repaired(images, texts, fit_on)`: -> unit images (N, D), turned by a known rotation."""

    def wrong(
        images: Tensor, texts: Tensor, fit_on: Tensor, fit: Callable[[Tensor, Tensor], Tensor] | None, r: Tensor
    ) -> dict[str, Tensor]:
        """What well-known mistakes give, if r is right; `fit` finds the best R of other pairs, where that can be worked out."""
        x, y = unit(images), unit(texts)
        right, once = x @ r, fit_on[:, None]
        found = {
            f"the rotation is transposed, which turns the wrong way round: {_SIDE}": x @ r.T,
            f"the images were not normalised, but turned well: {_LENGTH}": images @ r,
            f"the images were not normalised, and turned the wrong way round: {_SIDE}": images @ r.T,
            f"these are the texts: {_TEXTS}": y,
            f"the texts were turned, the wrong way round: {_TEXTS}": y @ r,
            f"these are the texts, turned onto the images: {_TEXTS}": y @ r.T,
            f"these are the texts as they came: {_TEXTS}": texts,
            f"nothing was turned: {_ALL}": x,
            f"these are the images as they came: {_ALL}": images,
            f"only the images fitted on are returned: {_ALL}": right[fit_on],
            f"only the images that were not fitted on are returned: {_ALL}": right[~fit_on],
            f"only the images fitted on were turned: {_ALL}": torch.where(once, right, x),
            f"only the images that were not fitted on were turned: {_ALL}": torch.where(once, x, right),
            f"images not fitted on are 0: {_ALL}": right * once,
            f"the images were turned twice: {_SIDE}": right @ r,
            "this is R itself: turn the images by it": r,
            "images are columns: one row an image": right.T,
            "normalised along dimension 0 in the last step: the length is that of a row, dim=-1": unit(right, 0)}  # fmt: skip
        a, b = x[fit_on], y[fit_on]
        found[f"the images were scaled to fit, too: {_LENGTH}"] = right * ((a @ r) * b).sum() / len(a)
        if fit is None:
            return found
        middle, n = (a.mean(0), b.mean(0)), int(fit_on.sum())
        others = {
            f"the rotation was fitted on all pairs, also on those it is judged by: {_FIT}": (x, y),
            f"the rotation was fitted on the pairs for which fit_on is False: {_FIT}": (x[~fit_on], y[~fit_on]),
            f"the rotation was fitted on the first pairs, as many as fit_on is True for: {_FIT}": (x[:n], y[:n]),
            f"fit_on was read as numbers of rows, 0 and 1, not as a mask: {_FIT}": (x[fit_on.long()], y[fit_on.long()]),
            f"the rotation was fitted on features that were not normalised: {_LENGTH}": (images[fit_on], texts[fit_on]),
            f"the images were not normalised before the fit: {_LENGTH}": (images[fit_on], b),
            f"the texts were not normalised before the fit: {_LENGTH}": (a, texts[fit_on]),
            "the rotation was fitted on the two means alone: all pairs that fit_on names count": tuple(v[None] for v in middle),
            "the pairs were centred before the fit: take them as they are": (a - middle[0], b - middle[1]),
            "the rotation was fitted on features that were normalised along dimension 0: dim=-1":
                (unit(images, 0)[fit_on], unit(texts, 0)[fit_on])}  # fmt: skip
        for cause, pair in others.items():
            if len(pair[0]) == len(pair[1]) and len(pair[0]):
                other = fit(*pair)
                found[cause] = x @ other
                found[f"two slips. The rotation is transposed; {cause}"] = x @ other.T
                found[f"two slips. The images were turned with lengths that are not 1; {cause}"] = images @ other
                found[f"three slips. The images have lengths that are not 1, and the rotation is transposed; {cause}"] = (
                    images @ other.T
                )
        along = unit(middle[0], 0)
        across, one = torch.stack([-along[1], along[0]]), fit(*(v[None] for v in middle))
        found["the rotation was fitted on the two means alone, which leave open if it mirrors: all that fit_on names count"] = (
            x @ (one - 2 * torch.outer(across, across @ one)))  # fmt: skip
        flat = [unit(part, 0) for part in (images, texts)]
        found["normalised along dimension 0 before the fit: the length is that of a row, dim=-1"] = (
            flat[0] @ fit(flat[0][fit_on], flat[1][fit_on]))  # fmt: skip
        found["each image moved by the difference of the means: it is turned"] = x + (middle[1] - middle[0])
        found["the pairs were centred, and images moved to the texts' mean: turn alone"] = (
            (x - middle[0]) @ fit(a - middle[0], b - middle[1]) + middle[1])  # fmt: skip
        return found

    def told(f: Callable[..., Any], images: Tensor, texts: Tensor, fit_on: Tensor, r: Tensor, *, atol: float = 1e-5) -> None:
        takes(f, "images", "texts", "fit_on")
        out = apply(f, images.clone(), texts.clone(), fit_on.clone(), hints=_HINTS)
        if isinstance(out, tuple | list) and len(out) == 2:
            raise Mistake("one tensor (N, D)", "a pair", "return the images alone: texts are not turned")
        out = tensor(out, "(N, D)")
        x, y = images.to(F64), texts.to(F64)

        def known() -> dict[str, tuple[Tensor]]:
            causes = wrong(x, y, fit_on, plane if images.shape[1] == 2 else None, r)
            return {cause: (value,) for cause, value in causes.items()}

        judge({"images": out}, {"images": unit(x) @ r}, known, atol=atol)

    def flat(seed: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs in the plane: those fitted on are about 50 degrees apart, the others about 130."""
        fit_on = draw(n, seed=seed) > -0.3
        angle = 3 * draw(n, seed=seed + 1)
        turned = angle + torch.where(fit_on, 0.9, 2.3) + 0.3 * draw(n, seed=seed + 2)
        rows = [torch.stack([angle.cos(), angle.sin()], 1) for angle in (angle, turned)]
        images, texts = (row * draw(n, 1, seed=seed + 3 + i).exp() for i, row in enumerate(rows))
        return images, texts, fit_on

    def in_plane(f: Callable[..., Any], seed: int, n: int, *, every: bool = False) -> None:
        images, texts, fit_on = flat(seed, n)
        fit_on = fit_on | every
        told(f, images, texts, fit_on, plane(unit(images)[fit_on], unit(texts)[fit_on]))

    def wider(seed: int, d: int, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images, texts, fit_on and R.

        The images fitted on are axes at right angles; their texts are these axes, leant together and turned. Leaning is
        symmetric, so that R is the turn alone.
        """
        own, r = orthogonal(d, seed), orthogonal(d, seed + 1)
        b = (-1.2 + (1.44 + 4 * d * 0.64) ** 0.5) / (2 * d)  # so that the leant axes have length 1
        lean = 0.6 * torch.eye(d, dtype=F64) + b
        fit_on = torch.zeros(n, dtype=torch.bool)
        fit_on[draw(n, seed=seed + 2).argsort()[:d]] = True
        images, texts = features(n, d, seed=seed + 3), features(n, d, seed=seed + 4)
        images[fit_on] = own * images[fit_on].square().sum(1, keepdim=True).sqrt()
        texts[fit_on] = lean @ own @ r * texts[fit_on].square().sum(1, keepdim=True).sqrt()
        return images, texts, fit_on, r

    def leant(f: Callable[..., Any], seed: int, d: int, n: int) -> None:
        told(f, *wider(seed, d, n))

    def single(f: Callable[..., Any]) -> None:
        images, texts, fit_on, r = wider(320, 4, 12)
        told(f, images.float(), texts.float(), fit_on, r, atol=1e-4)

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "images", "texts", "fit_on")
        images, texts, fit_on = flat(330, 9)
        intact(f, {"images": images, "texts": texts, "fit_on": fit_on}, hints=_HINTS)

    with undisturbed():
        run_cases(
            "repaired",
            function,
            [
                Case("eleven pairs in the plane, some of them fitted on", lambda f: in_plane(f, 300, 11)),
                Case("eight pairs in the plane, all of them fitted on", lambda f: in_plane(f, 305, 8, every=True)),
                Case("nine pairs of four features", lambda f: leant(f, 310, 4, 9)),
                Case("fourteen pairs of six features", lambda f: leant(f, 315, 6, 14)),
                Case("features in float32", single),
                Case("images, texts and fit_on stay as they are", left_alone),
            ],
            reread="section 4, on the repair: which pairs the rotation is fitted on, and on which side of it images stand",
        )

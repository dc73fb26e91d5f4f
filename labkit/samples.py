"""How good generated samples are: a judge that labels them, and precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from labkit.sets import Images


def train_judge(images: Images, *, limit: int = 5000) -> Callable[[Tensor], np.ndarray]:
    """Fit a support-vector classifier on real pixels; it maps images (N, C, H, W), 0..1, to labels (N,).

    At most `limit` images are used. It judges samples, so it must never see one in training.
    """
    from sklearn.svm import SVC

    kept = images[:limit]
    model = SVC(C=10.0).fit(kept.floats().flatten(1).cpu().numpy(), kept.labels.cpu().numpy())
    return lambda x: model.predict(x.detach().flatten(1).cpu().numpy())


def prdc(real: Tensor, fake: Tensor, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage of `fake` against `real`, both (N, ...), from balls around k-th neighbours.

    Precision is the share of fakes inside some real image's ball, recall the share of reals inside some fake's ball;
    density counts the balls that a fake lies in, over k (it may exceed 1); coverage is the share of reals whose ball
    holds a fake. Balls reach to the k-th nearest neighbour of the same kind, in Euclidean distance. Compare figures
    only for equal numbers of images.

    Raises:
        ValueError: fewer than k + 1 images of a kind, or values that are not finite.
    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797.
    """
    r, f = real.flatten(1).double(), fake.flatten(1).double()
    if min(len(r), len(f)) <= k:
        raise ValueError(f"{len(r)} real and {len(f)} fake images are too few for k = {k}: give at least {k + 1} of each")
    if not (torch.isfinite(r).all() and torch.isfinite(f).all()):
        raise ValueError("prdc: some images hold NaN or infinity: look at the net that made them")
    real_radius = torch.cdist(r, r).kthvalue(k + 1, dim=1).values  # the nearest of all is the image itself
    fake_radius = torch.cdist(f, f).kthvalue(k + 1, dim=1).values
    distance = torch.cdist(r, f)  # (real, fake)
    in_real = distance < real_radius[:, None]
    in_fake = distance < fake_radius[None, :]
    return {
        "precision": in_real.any(0).double().mean().item(),
        "recall": in_fake.any(1).double().mean().item(),
        "density": in_real.double().sum(0).mean().item() / k,
        "coverage": in_real.any(1).double().mean().item(),
    }

"""Real handwritten digits that come with scikit-learn: 1,797 scans, 8x8 pixels, ten classes."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from labkit.sets import Images

TEST_SIZE = 397


def digits(split: str, *, size: int = 8) -> Images:
    """Load one split of the digits: 1,400 train and 397 test images, the split stratified by class and always the same.

    Pixels are uint8 (N, 1, size, size); the 17 grey levels of the original are spread over 0..255. A `size` above 8
    upscales bicubically, which adds pixels but no information.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (test part), CC BY 4.0, as shipped with
    scikit-learn.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data, target = load_digits(return_X_y=True)
    train, test = train_test_split(range(len(data)), test_size=TEST_SIZE, stratify=target, random_state=0)
    index = torch.tensor(sorted(train if split == "train" else test))
    pixels = torch.as_tensor(data, dtype=torch.float32)[index].reshape(-1, 1, 8, 8) / 16
    if size != 8:
        pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return Images(
        pixels=(pixels * 255).round().to(torch.uint8),
        labels=torch.as_tensor(target)[index].long(),
        class_names=tuple("0123456789"),
        name="digits",
        split=split,
        provenance="scikit-learn load_digits (UCI optical digits, CC BY 4.0)",
    )

"""Adapters of lab 05, CLIP's zero-shot classifier, its loss and the gap between its modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NUMBERS = ("gap", "matched", "mismatched", "rmg")


def _encoder(prompts: np.ndarray, features: np.ndarray) -> Callable[[Iterable[str]], Tensor]:
    """An `encode` that knows these prompts, of any shape S, by their features (*S, D)."""
    table = dict(zip(prompts.ravel().tolist(), torch.from_numpy(features.reshape(prompts.size, -1)), strict=True))

    def encode(texts: Iterable[str]) -> Tensor:
        if isinstance(texts, str):
            raise TypeError(f"encode was given {texts!r}: it takes a list of texts, also of a single one")
        texts = list(texts)
        for text in texts:
            if not isinstance(text, str) or text not in table:
                raise ValueError(f"encode was given {text!r}, which is no prompt of this case")
        return torch.stack([table[text] for text in texts])

    return encode


def _leaves(function: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Whether lists and tensors are what they were after the call, and gradients on."""
    before = [a.clone() if isinstance(a, Tensor) else list(a) if isinstance(a, list) else a for a in args]
    with torch.enable_grad():
        function(*args)
        on = torch.is_grad_enabled()
    same = [
        torch.equal(now, was) and not now.requires_grad if isinstance(was, Tensor) else now == was
        for now, was in zip(args, before, strict=True)
    ]
    return {"unchanged": all(same), "gradients on": on}


def zero_shot_classifier(
    function: Callable[..., Any], class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray
) -> dict[str, Any]:
    """The row of each class, where `encode` gives the prompts (K, T) these features (K, T, D)."""
    return {"rows": function(_encoder(prompts, features), class_names.tolist(), templates.tolist())}


def zero_shot_of_tuples(
    function: Callable[..., Any], class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray
) -> dict[str, Any]:
    """As `zero_shot_classifier`, with names and templates in tuples."""
    return {"rows": function(_encoder(prompts, features), tuple(class_names.tolist()), tuple(templates.tolist()))}


def zero_shot_scores(
    function: Callable[..., Any],
    class_names: np.ndarray,
    templates: np.ndarray,
    prompts: np.ndarray,
    features: np.ndarray,
    images: np.ndarray,
) -> dict[str, Any]:
    """What the rows are for: the products of images (N, D) with all classes, (N, K)."""
    rows = function(_encoder(prompts, features), class_names.tolist(), templates.tolist())
    return {"scores": torch.mm(torch.from_numpy(images), rows.mT)}


def zero_shot_leaves(
    function: Callable[..., Any], class_names: np.ndarray, templates: np.ndarray, prompts: np.ndarray, features: np.ndarray
) -> dict[str, Any]:
    """Whether the lists are what they were."""
    return _leaves(function, _encoder(prompts, features), class_names.tolist(), templates.tolist())


def _named(
    function: Callable[..., Any],
    images: np.ndarray,
    class_names: np.ndarray,
    label: np.ndarray,
    candidates: np.ndarray,
    features: np.ndarray,
    kind: Callable[..., Any] = list,
    call: Callable[..., Any] = lambda function, *args: function(*args),
) -> Any:
    """Call `recall_by_name`, where `encode` knows the prompts of names and then candidates, (K + C, D)."""
    prompts = np.array([f"a photo of a {name}" for name in (*class_names, *candidates)])
    names, others = kind(class_names.tolist()), kind(candidates.tolist())
    return call(function, torch.from_numpy(images), _encoder(prompts, features), names, int(label), others)


def recall_by_name(
    function: Callable[..., Any],
    images: np.ndarray,
    class_names: np.ndarray,
    label: np.ndarray,
    candidates: np.ndarray,
    features: np.ndarray,
) -> dict[str, Any]:
    """The share of each candidate, in their order."""
    shares = _named(function, images, class_names, label, candidates, features)
    return {"shares": [float(shares[name]) for name in candidates.tolist()]}


def recall_of_tuples(
    function: Callable[..., Any],
    images: np.ndarray,
    class_names: np.ndarray,
    label: np.ndarray,
    candidates: np.ndarray,
    features: np.ndarray,
) -> dict[str, Any]:
    """As `recall_by_name`, with names in tuples, and how many names the dict has."""
    shares = _named(function, images, class_names, label, candidates, features, tuple)
    return {"shares": [float(shares[name]) for name in candidates.tolist()], "names": len(shares)}


def recall_leaves(
    function: Callable[..., Any],
    images: np.ndarray,
    class_names: np.ndarray,
    label: np.ndarray,
    candidates: np.ndarray,
    features: np.ndarray,
) -> dict[str, Any]:
    """Whether images and lists are what they were."""
    found: dict[str, Any] = _named(function, images, class_names, label, candidates, features, call=_leaves)
    return found


def gap_metrics(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """All four numbers."""
    out = function(torch.from_numpy(images), torch.from_numpy(texts))
    return {name: out[name] for name in _NUMBERS}


def gap_of_means(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """The gap alone."""
    return {"gap": function(torch.from_numpy(images), torch.from_numpy(texts))["gap"]}


def gap_cosines(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """Both mean cosines alone."""
    out = function(torch.from_numpy(images), torch.from_numpy(texts))
    return {"matched": out["matched"], "mismatched": out["mismatched"]}


def gap_relative(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """The relative gap alone."""
    return {"rmg": function(torch.from_numpy(images), torch.from_numpy(texts))["rmg"]}


def gap_as_row(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """The numbers as a row of an array, which takes no tensor with a graph, and how many there are."""
    out = function(torch.from_numpy(images), torch.from_numpy(texts))
    return {"row": np.array([out[name] for name in _NUMBERS], dtype=np.float64), "entries": len(out)}


def gap_leaves(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """Whether the features are what they were."""
    return _leaves(function, torch.from_numpy(images), torch.from_numpy(texts))


def clip_loss(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, temperature: np.ndarray) -> dict[str, Any]:
    """The loss; a temperature without dimensions goes in as a number."""
    t = torch.from_numpy(temperature) if temperature.ndim else temperature.item()
    return {"loss": function(torch.from_numpy(images), torch.from_numpy(texts), t)}


def clip_loss_slopes(
    function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, temperature: np.ndarray
) -> dict[str, Any]:
    """The gradients of one batch's loss at images and texts."""
    x, y = (torch.from_numpy(rows).requires_grad_() for rows in (images, texts))
    at_images, at_texts = torch.autograd.grad(function(x, y, temperature.item()), (x, y))
    return {"images": at_images, "texts": at_texts}


def clip_loss_slope_of_temperature(
    function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, temperature: np.ndarray
) -> dict[str, Any]:
    """The gradient at a learnt temperature, a tensor without dimensions."""
    t = torch.tensor(temperature.item(), dtype=torch.float64, requires_grad=True)
    return {"temperature": torch.autograd.grad(function(torch.from_numpy(images), torch.from_numpy(texts), t), t)[0]}


def clip_loss_leaves(
    function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, temperature: np.ndarray
) -> dict[str, Any]:
    """Whether features and temperature are what they were."""
    t = torch.tensor(temperature.item(), dtype=torch.float64)
    return _leaves(function, torch.from_numpy(images), torch.from_numpy(texts), t)


def shifted(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> dict[str, Any]:
    """Both modalities after the move."""
    x, y = function(torch.from_numpy(images), torch.from_numpy(texts), float(amount))
    return {"images": x, "texts": y}


def shifted_joined(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> dict[str, Any]:
    """Both modalities after the move in one tensor, (N + M, D), images first."""
    x, y = function(torch.from_numpy(images), torch.from_numpy(texts), float(amount))
    return {"all": torch.cat([x, y])}


def shifted_leaves(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, amount: np.ndarray) -> dict[str, Any]:
    """Whether the features are what they were."""
    return _leaves(function, torch.from_numpy(images), torch.from_numpy(texts), float(amount))


def procrustes(function: Callable[..., Any], source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """R."""
    return {"R": function(torch.from_numpy(source), torch.from_numpy(target))}


def procrustes_of_few(function: Callable[..., Any], source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """R, for fewer rows than dimensions."""
    return procrustes(function, source, target)


def procrustes_turned(function: Callable[..., Any], source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """What R is for: source @ R, of one dtype."""
    rows = torch.from_numpy(source)
    return {"turned": torch.mm(rows, function(rows, torch.from_numpy(target)))}


def procrustes_leaves(function: Callable[..., Any], source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Whether the features are what they were."""
    return _leaves(function, torch.from_numpy(source), torch.from_numpy(target))


def repaired(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> dict[str, Any]:
    """The turned images."""
    return {"images": function(torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(fit_on))}


def repaired_compared(
    function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray
) -> dict[str, Any]:
    """What turned images are for: their products with all texts as they came, (N, N)."""
    y = torch.from_numpy(texts)
    return {"products": torch.mm(y, function(torch.from_numpy(images), y.clone(), torch.from_numpy(fit_on)).mT)}


def repaired_leaves(function: Callable[..., Any], images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> dict[str, Any]:
    """Whether features and fit_on are what they were."""
    return _leaves(function, torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(fit_on))

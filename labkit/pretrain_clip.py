"""How the weights of the tiny CLIP models are made: one training in four variants, of temperature and captions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import twin_nets, twins
from labkit.machine import generator, pick_device
from labkit.recipes import TOYBOX_SEED, Trained, flipped_and_cropped, preparation, rise_and_fall
from labkit.sets import Images
from labkit.train import Run
from labkit.words import tokenize

#: How captions of the training begin, the first half of the time the first
BEGINNINGS = ("a photo of a", "a picture of a", "a drawing of a", "an image of a", "a")
#: Other names of a class, one a kind of it; a quarter of the captions use them
NAMES = {
    "airplane": ("airplane", "jet", "plane"),
    "automobile": ("car", "car", "jeep"),
    "ship": ("sailboat", "freighter", "ferry"),
}
OTHER_NAME = 0.25
VERSIONS = 4  # full captions of each image, and as many brief ones
LARGEST_SCALE = 100.0  # of the logits, as in CLIP


@dataclass(frozen=True)
class Recipe:
    """A training by AdamW, with a learning rate that rises to `lr` and falls as a cosine, and gradients clipped at 1."""

    epochs: int = 8
    images: int = 12_800
    lr: float = 2e-3
    trunk: float = 0.3  # share of it for a trunk that has been trained before
    warm: float = 0.1  # share of the steps in which the learning rate rises
    weight_decay: float = 0.05  # not of biases, gains and the temperature
    batch_size: int = 128
    padding: int = 6  # pixels, of the random crop
    brief: float = 0.3  # share of captions that name the class alone, while a training on full ones also reads such
    every: int = 50  # steps between two measurements of the gap,
    watched: int = 500  # on so many test pairs


@dataclass(frozen=True)
class Knobs:
    """What one variant does otherwise."""

    full: bool = True  # captions name size, colour and place; if not, the class alone
    varied: float = 0.5  # share of the steps, from the first on, in which some captions are brief nevertheless
    temperature: float | None = None  # fixed; None: learnt, from 0.07
    shuffled: float = 0.0  # share of the images whose captions are exchanged among them


RECIPE = Recipe()
SEEDS = (0, 1, 2, 3)  # the weights of the first are kept, of the others only the curves
TRUNK_SEED = 100
VARIANTS = {
    "toybox_clip": Knobs(),
    "toybox_clip_cold": Knobs(temperature=0.01),
    "toybox_clip_web": Knobs(temperature=0.01, varied=1.0),
    "toybox_clip_class": Knobs(full=False),
    "toybox_clip_noisy": Knobs(shuffled=0.5),
}


def pair(label: str, *, name: str) -> Trained:
    """Train a pair of towers on captioned images of `toybox`, once a seed; the first seed's weights are kept.

    Full captions say so much by colour and place that from random weights it takes long until the object counts. So all start
    with the convolutions of one net that read captions of the class alone (attention pooling, projections and the text tower
    start anew), and at first, or throughout, some captions are brief.
    Its accuracy is zero-shot, with the prompt 'a photo of a {class}', as stored. The notes hold `curves`, JSON: steps, and
    by seed and step what `measured` gives.
    Source: Radford et al. 2021, arXiv:2103.00020.
    """
    train, test = _train_and_test()
    nets, curves = [], []
    for seed in SEEDS:
        net, curve = train_pair(train, test, VARIANTS[name], trunk=_trunk(RECIPE), seed=seed, label=f"{label}, seed {seed}")
        nets.append(net.cpu().eval())
        curves.append(curve)
    net = nets[0]
    twins.round_as_stored(net)
    steps = [round(row["step"]) for row in curves[0]]
    kept = {key: [[round(row[key], 4) for row in curve] for curve in curves] for key in curves[0][0] if key != "step"}
    found = measured(net, test, VARIANTS[name], preparation(name))["accuracy"]
    return Trained(net, {"toybox zero-shot": found}, {"curves": json.dumps({"steps": steps, **kept})})


def _train_and_test() -> tuple[Images, Images]:
    from labkit.worlds.toybox import render, toybox

    size = twin_nets.find("toybox_clip").size
    return render(RECIPE.images, seed=TOYBOX_SEED, size=size).to(pick_device()), toybox("test", size=size)


@cache
def _trunk(recipe: Recipe) -> dict[str, Tensor]:
    """Weights of the convolutions of a net that has read captions of the class alone; made once in a process and recipe."""
    net, _ = train_pair(*_train_and_test(), Knobs(full=False), seed=TRUNK_SEED, label="training convolutions for CLIP")
    state = net.visual.state_dict().items()
    return {key: value.detach().clone() for key, value in state if not key.startswith("attnpool.")}


def train_pair(
    train: Images, test: Images, knobs: Knobs, *, seed: int, label: str, trunk: Mapping[str, Tensor] | None = None
) -> tuple[Any, list[dict[str, float]]]:
    """One training; the net, and its measurements at the start and then every `RECIPE.every` steps.

    Weights are random but for the image tower's `trunk`, whose learning rate is lower.
    """
    rng, prepare, device = generator(seed), preparation("toybox_clip"), train.pixels.device
    net: Any = twin_nets.build("toybox_clip", seed=seed)
    net.visual.load_state_dict(trunk or {}, strict=False)
    net.to(device)
    net.visual.to(memory_format=torch.channels_last)
    if knobs.temperature is not None:
        net.logit_scale.requires_grad_(False).fill_(math.log(1 / knobs.temperature))
    captions, numbers = spoken(train, knobs, rng)
    tokens, numbers = tokenize(captions).to(device), numbers.to(device)
    index = torch.arange(len(train))  # a batch then says which images it holds
    brief = RECIPE.brief if knobs.full else 1.0
    rows = replace(train, labels=index.to(device), class_names=tuple(map(str, index.tolist())))
    groups: list[dict[str, Any]] = [
        {"params": [value], "weight_decay": RECIPE.weight_decay * (value.ndim > 1), "lr": RECIPE.lr * share}
        for key, value in net.named_parameters()
        for share in [RECIPE.trunk if key.removeprefix("visual.") in (trunk or {}) else 1.0]
        if value.requires_grad
    ]
    largest = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    run = Run(rows, epochs=RECIPE.epochs, batch_size=RECIPE.batch_size, seeds=(seed,), label=label)
    watched = test[: RECIPE.watched]
    curve = [{"step": 0.0, **measured(net, watched, knobs, prepare)}]
    for step, (x, which) in enumerate(run, start=1):
        for group, lr in zip(optimizer.param_groups, largest, strict=True):
            group["lr"] = lr * rise_and_fall(run.progress, RECIPE.warm)
        short = torch.rand(len(which), generator=rng) < (brief if run.progress < knobs.varied or not knobs.full else 0.0)
        version = (torch.randint(VERSIONS, (len(which),), generator=rng) + VERSIONS * short).to(device)
        x = prepare(flipped_and_cropped(x, rng, padding=RECIPE.padding)).contiguous(memory_format=torch.channels_last)
        images = net.encode_image(x, normalize=True)
        texts = net.encode_text(tokens[numbers[which, version]], normalize=True)
        logits, match = net.logit_scale.exp() * images @ texts.T, torch.arange(len(x), device=device)
        run.step(optimizer, (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2, clip=1.0)
        with torch.no_grad():
            net.logit_scale.clamp_(0, math.log(LARGEST_SCALE))
        if step % RECIPE.every == 0:
            curve.append({"step": float(step), **measured(net, watched, knobs, prepare)})
    return net, curve


def spoken(images: Images, knobs: Knobs, rng: torch.Generator) -> tuple[list[str], Tensor]:
    """Captions for the training: all that occur, and the numbers of those of each image, int64 (N, 2 VERSIONS): full, brief."""
    known: dict[str, int] = {}
    numbers = torch.empty(len(images), 2 * VERSIONS, dtype=torch.int64)
    for version in range(2 * VERSIONS):
        for row, caption in enumerate(_captions(images, version < VERSIONS, rng)):
            numbers[row, version] = known.setdefault(caption, len(known))
    moved = (torch.rand(len(images), generator=rng) < knobs.shuffled).nonzero().squeeze(1)
    numbers[moved] = numbers[moved[torch.randperm(len(moved), generator=rng)]]
    return list(known), numbers


def _captions(images: Images, full: bool, rng: torch.Generator) -> Iterator[str]:
    from labkit.worlds.toybox import BACKGROUNDS, CLASSES, COLOURS
    from labkit.worlds.toybox_places import WHERE

    seen = {key: images.attributes[key].tolist() for key in ("large", "colour", "background", "kind")}
    other = (torch.rand(len(images), generator=rng) < OTHER_NAME).tolist()
    begin = torch.randint(2 * len(BEGINNINGS) - 2, (len(images),), generator=rng).tolist()
    for row, label in enumerate(images.labels.tolist()):
        name, start = CLASSES[label], BEGINNINGS[max(0, begin[row] - len(BEGINNINGS) + 2)]
        if other[row] and name in NAMES:
            name = NAMES[name][seen["kind"][row]]
        if full:
            size, colour = "large" if seen["large"][row] else "small", COLOURS[seen["colour"][row]]
            name = f"{size} {colour} {name} {WHERE[BACKGROUNDS[seen['background'][row]]]}"
        yield f"{start} {name}"


@torch.no_grad()
def measured(net: Any, images: Images, knobs: Knobs, prepare: Any) -> dict[str, float]:
    """Gap, cosines, temperature and zero-shot accuracy of a net on pairs in the style of its training, each one number.

    `gap` is the distance of the means of both modalities' unit vectors, `matched` and `mismatched` are mean cosines,
    `cone_images` and `cone_texts` mean cosines within a modality. The net, in eval mode for as long, stays as it is.
    """
    was_training, device = net.training, net.logit_scale.device
    net.eval()
    try:
        prompts = [f"a photo of a {name}" for name in images.class_names]
        said = list(images.captions or ()) if knobs.full else [prompts[label] for label in images.labels.tolist()]
        x = torch.cat([net.encode_image(prepare(part.to(device)), normalize=True) for part in images.pixels.split(250)])
        y, classes = (net.encode_text(tokenize(texts).to(device), normalize=True) for texts in (said, prompts))
    finally:
        net.train(was_training)
    n = len(x)
    return {
        "gap": float((x.mean(0) - y.mean(0)).norm()),
        "matched": float((x * y).sum(1).mean()),
        "mismatched": float(((x @ y.T).sum() - (x * y).sum()) / (n * n - n)),
        "cone_images": float((x.sum(0).square().sum() - n) / (n * n - n)),
        "cone_texts": float((y.sum(0).square().sum() - n) / (n * n - n)),
        "temperature": float((-net.logit_scale).exp()),
        "accuracy": float(((x @ classes.T).argmax(1).cpu() == images.labels).float().mean()),
    }

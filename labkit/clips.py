"""One call for every CLIP model: two towers, tokenizer, preprocessing, and where the weights come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labkit import twin_nets, words, zoo
from labkit.machine import pick_device
from labkit.preparation import Preparation
from labkit.public import clip_weights
from labkit.sets import Images


@dataclass(frozen=True, eq=False)
class Clip:
    """An image tower and a text tower that share a space of `width` dimensions, ready for use: in eval mode, on its device.

    `net` is open_clip's CLIP, float32. `tokenize` turns N texts into int64 (N, context length), `prepare` images into what
    the net takes. `provenance` says in words where the weights come from. `distrust` is None, or why no claim may rest on
    this net: 'random weights' that stand in for others.

    CLIP's own preprocessing resizes the short side by bicubic interpolation and crops the centre. `prepare` resizes the
    whole image by antialiased bilinear interpolation: on square images the same but for the interpolation, others it squeezes.
    """

    name: str
    net: nn.Module = field(repr=False)
    tokenize: Callable[[Sequence[str]], Tensor] = field(repr=False)
    prepare: Preparation
    width: int
    provenance: str
    distrust: str | None

    @property
    def temperature(self) -> float:
        """By what cosines are divided to give logits: 1 / exp(logit_scale), 0.01 in OpenAI's models."""
        net: Any = self.net
        return 1 / net.logit_scale.detach().cpu().double().exp().item()  # MPS has no float64

    def encode_images(self, images: Images | Tensor, *, batch_size: int = 128) -> Tensor:
        """Embed a set, or pixels uint8 (N, 1 | 3, H, W): float32 (N, width) on the CPU, not of unit length, without gradient.

        The net's modes are put back, also after an exception.

        Raises:
            ValueError: there are no images, they are not uint8 (N, 1 | 3, H, W), or batch_size is below 1.
        """
        net: Any = self.net
        pixels = images.pixels if isinstance(images, Images) else images
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or pixels.ndim != 4 or len(pixels) == 0:
            found = f"{pixels.dtype} {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(
                f"encode_images: the images are {found}: give a set, or its pixels, uint8 (N, C, H, W) with at least one "
                "image (one image as x[None], floats in 0..1 as (x * 255).round().to(torch.uint8))"
            )
        return self._encoded(pixels, lambda x: net.encode_image(self.prepare(x)), batch_size)

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Embed N texts: float32 (N, width) on the CPU, not of unit length, without gradient.

        What goes beyond the context length, 77 tokens in the published models, is cut off there; the tiny ones refuse it.
        The net's modes are put back, also after an exception.

        Raises:
            TypeError: one text is given in place of a list, or something that is no text.
            ValueError: there are no texts, a tiny net does not know a word, or batch_size is below 1.
        """
        net: Any = self.net
        if isinstance(texts, str):
            raise TypeError(f"encode_texts: {texts!r} is one text: give a list of texts, [{texts!r}]")
        texts = list(texts)
        if not texts:
            raise ValueError("encode_texts: the list of texts is empty: give at least one")
        if others := [text for text in texts if not isinstance(text, str)]:
            raise TypeError(f"encode_texts: {others[0]!r} is {type(others[0]).__name__}, not text: give a list of texts")
        return self._encoded(self.tokenize(texts), net.encode_text, batch_size)

    def _encoded(self, inputs: Tensor, encode: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
        device = next(self.net.parameters()).device
        # no_grad, since a head can't be trained on tensors that were made in inference mode
        with _in_eval_mode(self.net), torch.no_grad():
            return torch.cat([encode(part.to(device)).float().cpu() for part in inputs.split(batch_size)])


class Parts(NamedTuple):
    """What a source of models gives: a net on the CPU, and what belongs to it."""

    net: Any
    tokenize: Callable[[Sequence[str]], Tensor]
    prepare: Preparation
    provenance: str
    distrust: str | None


def known() -> tuple[str, ...]:
    """Names that `load` knows."""
    return (*twin_nets.CLIPS, *clip_weights.NETS)


def load(name: str, *, device: torch.device | str | None = None, pretrained: bool = True, seed: int = 0) -> Clip:
    """Load a CLIP model: a tiny one of this workbook, or a published one by architecture and weights, 'ViT-B-32/openai'.

    With `pretrained` it has its committed weights, or those published, which are downloaded once; without, random ones drawn
    from `seed`. Where published weights can't be had and LABKIT_RANDOM_WEIGHTS is set, random ones stand in, and `distrust`
    says so.

    Raises:
        ValueError: the name is unknown, or the file of a tiny one is damaged.
        FileNotFoundError: the file of a tiny one is missing, or a folder of data that is named.
        labkit.files.OfflineError: weights may not, or could not, be downloaded; says which file goes where.
        labkit.public.DamagedData: a file of weights is truncated or of another net.
    """
    if name not in known():
        raise ValueError(f"CLIP model {name!r} is unknown: use one of {', '.join(known())}")
    device = device if isinstance(device, torch.device) else pick_device(device)
    parts = (_twin if name in twin_nets.CLIPS else _published)(name, pretrained, seed)
    return Clip(
        name=name,
        net=parts.net.eval().to(device),
        tokenize=parts.tokenize,
        prepare=parts.prepare,
        width=parts.net.text_projection.shape[1],
        provenance=parts.provenance,
        distrust=parts.distrust,
    )


def random_like(clip: Clip, seed: int) -> Clip:
    """The control of a model: the same architecture and device with random weights drawn from `seed`, untrained."""
    return load(clip.name, device=next(clip.net.parameters()).device, pretrained=False, seed=seed)


def _twin(name: str, pretrained: bool, seed: int) -> Parts:
    twin, (net, provenance) = twin_nets.find(name), zoo.chosen_twin(name, pretrained=pretrained, seed=seed)
    return Parts(net, words.tokenize, Preparation(twin.size, twin.mean, twin.std), provenance, None)


def _published(name: str, pretrained: bool, seed: int) -> Parts:
    plan, official = clip_weights.NETS[name], partial(clip_weights.load, name) if pretrained else None
    random = partial(clip_weights.build, name)
    net, provenance, distrust = zoo.official_or_random(name, "the published ones", official, random, seed)
    config, tokenize = clip_weights.config(name), _tokenizer(net.context_length)
    prepare = Preparation(config["vision_cfg"]["image_size"], *plan.statistics)
    return Parts(net, tokenize, prepare, provenance, distrust)


@cache  # each takes a good part of a second and 20 MB
def _tokenizer(context_length: int) -> Callable[[Sequence[str]], Tensor]:
    """CLIP's tokenizer, of which all published models have the same; the vocabulary comes with open_clip."""
    from open_clip import SimpleTokenizer  # get_tokenizer would look for the same, and set up the root logger

    return SimpleTokenizer(context_length=context_length)


@contextmanager
def _in_eval_mode(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; every module's own mode after it."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        for module, _ in modes:  # not net.eval(): a net may have made that do more, which could not be put back
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode

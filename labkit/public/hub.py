"""Vision transformers of the Hugging Face hub: found on this disk or fetched, loaded by transformers, and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from labkit.machine import local_seed
from labkit.public import hub_files
from labkit.public.hub_files import Wanted

CLASSES = 1000
CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
IMAGENET, HALF = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Plan(NamedTuple):
    """A vision transformer: options of its ViTConfig, (mean, deviation) by channel, and whether its checkpoint has a head."""

    options: dict[str, int]
    statistics: tuple[tuple[float, ...], tuple[float, ...]]
    head: bool = True


def _sizes(width: int, heads: int, depth: int = 12) -> dict[str, int]:
    blocks = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": depth, "intermediate_size": 4 * width}
    return {**blocks, "image_size": 224, "patch_size": 16}


#: Id on the hub -> its plan; without a head are those that were trained on images alone
NETS = {
    "facebook/deit-tiny-patch16-224": Plan(_sizes(192, 3), IMAGENET),
    "facebook/deit-small-patch16-224": Plan(_sizes(384, 6), IMAGENET),
    "facebook/deit-base-patch16-224": Plan(_sizes(768, 12), IMAGENET),
    "google/vit-base-patch16-224": Plan(_sizes(768, 12), HALF),
    "google/vit-large-patch16-224": Plan(_sizes(1024, 16, 24), HALF),
    "facebook/dino-vits16": Plan(_sizes(384, 6), IMAGENET, head=False),
    "facebook/vit-mae-base": Plan(_sizes(768, 12), IMAGENET, head=False),
}
#: What a checkpoint may hold beside the net: a pooler, the decoder of a masked autoencoder, and the token of hidden patches
DROPPED = re.compile(r"(vit\.)?(pooler|decoder|embeddings\.mask_token)\b")


def build(name: str) -> Any:
    """Make the ViTForImageClassification of this id with random weights from torch's global generator.

    It computes its attentions plainly, so that `output_attentions=True` gives them.
    """
    from transformers import ViTConfig, ViTForImageClassification

    options: dict[str, Any] = {**NETS[name].options, "num_labels": CLASSES, "attn_implementation": "eager"}
    return ViTForImageClassification(ViTConfig(**options))


def load(name: str, *, seed: int = 0) -> tuple[Any, str]:
    """The net of this id with the hub's weights, float32 on the CPU, and words on where they come from.

    Looked for in `transformers/<id>/` of each folder of public data, then in the Hugging Face cache, then on the network.
    No code of a checkpoint is run. An encoder gets a head of 1000 classes drawn from `seed`.

    Raises:
        labkit.files.OfflineError: weights may not, or could not, be downloaded; says which files go where.
        DamagedData: a file is truncated or of another net; says what to do.
        OSError: the disk is full or may not be written.
    """
    # without a configuration transformers would guess
    wanted = Wanted(name, name, f"transformers/{name}", WEIGHTS, beside=(CONFIG,))
    path = hub_files.find(wanted) or hub_files.fetch(wanted)
    digest = hub_files.digest(wanted, path)
    with hub_files.quiet(bar=False), local_seed(seed):
        net = _filled(wanted, path)
    provenance = f"{path.name}, SHA-256 {digest[:8]}..."
    return net, provenance if NETS[name].head else f"{provenance}, an encoder; its head of {CLASSES} is untrained (seed {seed})"


def _filled(wanted: Wanted, path: Path) -> Any:
    """The net as transformers loads it; what transformers would only warn of is refused."""
    from transformers import ViTForImageClassification

    options: dict[str, Any] = {"num_labels": CLASSES, "attn_implementation": "eager", "dtype": torch.float32}
    options["model_type"] = "vit"  # also where a masked autoencoder's configuration says vit_mae
    options |= {"local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True}  # listed in info
    load: Any = ViTForImageClassification.from_pretrained
    try:
        net, info = load(path.parent, **options)
    except Exception as error:  # transformers has many for damaged files
        raise hub_files.damaged(wanted, path, [hub_files.said(error)]) from error
    plan = NETS[wanted.name]
    # shapes don't show the number of heads, for one
    due = {**plan.options, "num_channels": 3, "hidden_act": "gelu", "qkv_bias": True}
    said = {key: getattr(net.config, key) for key in due}
    drawn = set() if plan.head else {"classifier.weight", "classifier.bias"}
    faults = [f"{key} is {said[key]!r}, not {value!r}" for key, value in due.items() if said[key] != value]
    faults += [f"{key} is missing" for key in sorted(info["missing_keys"] - drawn)]
    faults += [f"{key} is not of the net" for key in sorted(info["unexpected_keys"]) if not DROPPED.match(key)]
    faults += [f"{key} is {tuple(shape)}, not {tuple(own)}" for key, shape, own in sorted(info["mismatched_keys"])]
    if faults := faults + info["error_msgs"]:
        raise hub_files.damaged(wanted, path, faults)
    return net

"""Vision transformers of the Hugging Face hub: found on this disk or fetched, loaded by transformers, and checked."""

from __future__ import annotations

import errno
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from labkit import files
from labkit.machine import local_seed
from labkit.public.archives import DamagedData
from labkit.public.weights import sha256

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
    path = _at_hand(name) or _fetched(name)
    digest, kept_as = sha256(path), path.resolve().name  # the cache keeps a file under the hash that it should have
    if re.fullmatch(r"[0-9a-f]{64}", kept_as) and kept_as != digest:
        raise _damaged(path, f"its SHA-256 begins with {digest[:8]}, not {kept_as[:8]}")
    with _quiet(bar=False), local_seed(seed):
        net = _filled(name, path)
    provenance = f"{path.name}, SHA-256 {digest[:8]}..."
    return net, provenance if NETS[name].head else f"{provenance}, an encoder; its head of {CLASSES} is untrained (seed {seed})"


def _at_hand(name: str) -> Path | None:
    """The file of weights on this disk, with its configuration beside it."""
    from huggingface_hub import try_to_load_from_cache

    for here in (place / "transformers" / name for place in files.data_dirs()):
        for path in (here / each for each in WEIGHTS):
            if path.is_file() and (here / CONFIG).is_file():  # without the latter transformers would guess
                return path
    config, *found = (try_to_load_from_cache(name, each) for each in (CONFIG, *WEIGHTS))
    return next((Path(each) for each in found if isinstance(each, str) and isinstance(config, str)), None)


def _fetched(name: str) -> Path:
    """The file of weights, downloaded into the Hugging Face cache with its configuration."""
    from huggingface_hub import file_exists, hf_hub_download

    folder = files.data_dirs()[-1] / "transformers" / name
    wanted = f"{CONFIG} and {' or '.join(WEIGHTS)}"
    files.require_network(f"{name} ({wanted})", folder)
    try:
        with _quiet(bar=False):
            hf_hub_download(name, CONFIG)
        with _quiet(bar=os.environ.get("TQDM_DISABLE", "0") in ("", "0")):  # the hub's bar does not heed it by itself
            path = hf_hub_download(name, WEIGHTS[not file_exists(name, WEIGHTS[0])])
    except Exception as error:  # the hub's own, those of its HTTP library, and the system's
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise OSError(
                error.errno,
                f"{name} could not be written ({error.strerror}): free some space, or set HF_HOME to another folder",
            ) from error
        reason = re.sub(r"\S+://\S+", "the hub", " ".join(str(error).split()) or type(error).__name__)[:200]
        raise files.OfflineError(
            f"{name} could not be downloaded ({reason}): connect to the network, or put {wanted} into {folder}"
        ) from error
    return Path(path)


@contextmanager
def _quiet(*, bar: bool) -> Iterator[None]:
    """Keep back remarks of the hub and of transformers, and bars unless `bar`; what was set before is put back."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as bars

    levels = {logger: logger.level for logger in map(logging.getLogger, ("huggingface_hub", "transformers"))}
    hub, loading = not are_progress_bars_disabled(), bars.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in levels:
            logger.setLevel(logging.ERROR)
        if not bar:
            bars.disable_progress_bar()  # the hub's too
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
            if loading:
                bars.enable_progress_bar()
            (enable_progress_bars if hub else disable_progress_bars)()


def _filled(name: str, path: Path) -> Any:
    """The net as transformers loads it; what transformers would only warn of is refused."""
    from transformers import ViTForImageClassification

    options: dict[str, Any] = {"num_labels": CLASSES, "attn_implementation": "eager", "dtype": torch.float32}
    options["model_type"] = "vit"  # also where a masked autoencoder's configuration says vit_mae
    options |= {"local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True}  # listed in info
    load: Any = ViTForImageClassification.from_pretrained
    try:
        net, info = load(path.parent, **options)
    except Exception as error:  # transformers has many for damaged files
        raise _damaged(path, (str(error).strip().splitlines() or [type(error).__name__])[0][:120]) from error
    # shapes don't show the number of heads, for one
    due = {**NETS[name].options, "num_channels": 3, "hidden_act": "gelu", "qkv_bias": True}
    said = {key: getattr(net.config, key) for key in due}
    drawn = set() if NETS[name].head else {"classifier.weight", "classifier.bias"}
    faults = [f"{key} is {said[key]!r}, not {value!r}" for key, value in due.items() if said[key] != value]
    faults += [f"{key} is missing" for key in sorted(info["missing_keys"] - drawn)]
    faults += [f"{key} is not of the net" for key in sorted(info["unexpected_keys"]) if not DROPPED.match(key)]
    faults += [f"{key} is {tuple(shape)}, not {tuple(own)}" for key, shape, own in sorted(info["mismatched_keys"])]
    if faults := faults + info["error_msgs"]:
        raise _damaged(path, f"{faults[0]}; {len(faults)} such faults" if len(faults) > 1 else faults[0])
    return net


def _damaged(path: Path, reason: str) -> DamagedData:
    """The error that says what is wrong with a checkpoint and what to do; the files are left alone."""
    kept = next((parent for parent in path.parents if parent.name.startswith("models--")), None)
    # in the cache the path is a link, and without it a damaged file would be linked again
    remedy = f"delete {kept} and load again" if kept else "put those of the Hugging Face hub there (`git lfs pull` in a clone)"
    return DamagedData(f"{path} or {CONFIG} beside it is truncated or of another net ({reason}): {remedy}")

"""CLIP models with the weights of the Hugging Face hub: built by open_clip, their files found or fetched, read and checked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from labkit.public import hub_files
from labkit.public.archives import DamagedData
from labkit.public.hub_files import Wanted

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
#: What an archive of OpenAI's holds beside weights
NOTES = ("input_resolution", "context_length", "vocab_size")
#: (mean, deviation) by channel, for OpenAI's weights and for those that were trained as these were
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class Plan(NamedTuple):
    """A CLIP model: open_clip's name of its architecture, repository on the hub, and SHA-256 of OpenAI's own file, if any.

    OpenAI's nets have the approximate GELU that open_clip calls quick, x * sigmoid(1.702 x), which no weight shows.
    """

    architecture: str
    repository: str
    original: str = ""
    statistics: tuple[tuple[float, ...], tuple[float, ...]] = OPENAI


NETS = {
    "ViT-B-32/openai": Plan(
        "ViT-B-32-quickgelu",
        "timm/vit_base_patch32_clip_224.openai",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    "ViT-B-16/openai": Plan(
        "ViT-B-16-quickgelu",
        "timm/vit_base_patch16_clip_224.openai",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    "RN50/openai": Plan(
        "RN50-quickgelu",
        "timm/resnet50_clip.openai",
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    ),
    "RN101/openai": Plan(
        "RN101-quickgelu",
        "timm/resnet101_clip.openai",
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    ),
    "ViT-L-14/openai": Plan(
        "ViT-L-14-quickgelu",
        "timm/vit_large_patch14_clip_224.openai",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    "ViT-B-32/laion2b_s34b_b79k": Plan("ViT-B-32", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
}


def config(name: str) -> dict[str, Any]:
    """What open_clip builds this net from."""
    from open_clip import get_model_config

    return get_model_config(NETS[name].architecture)


def build(name: str) -> Any:
    """Make the open_clip CLIP of this name with random weights from torch's global generator, in training mode."""
    from open_clip import CLIP  # not create_model, which speaks through the root logger

    return CLIP(**config(name))


def load(name: str) -> tuple[Any, str]:
    """The net of this name with its published weights, float32 on the CPU, and words on where they come from.

    Looked for in `open_clip/<name>/` of each folder of public data, then in the Hugging Face cache, then where OpenAI's
    package keeps its files (`~/.cache/clip`), then on the network. No code of a checkpoint is run, except of an archive of
    OpenAI's, such as ViT-B-32.pt, and of that only if its SHA-256 says that it is OpenAI's own.

    Raises:
        labkit.files.OfflineError: weights may not, or could not, be downloaded; says which file goes where.
        DamagedData: a file is truncated or of another net; says what to do.
        OSError: the disk is full or may not be written.
    """
    plan = NETS[name]
    archive = (f"{name.split('/')[0]}.pt",) if plan.original else ()
    wanted = Wanted(name, plan.repository, f"open_clip/{name}", WEIGHTS, instead=archive)
    path = hub_files.find(wanted) or _of_openai(archive) or hub_files.fetch(wanted)
    digest = hub_files.digest(wanted, path)
    if path.name in archive and digest != plan.original:
        raise DamagedData(
            f"{path} is truncated or not OpenAI's own (its SHA-256 should begin with {plan.original[:8]} and begins with "
            f"{digest[:8]}), and an archive of this kind holds code: delete it and load again, or put {WEIGHTS[0]} of "
            f"{plan.repository} in its place"
        )
    return _filled(wanted, path, _read(wanted, path, trusted=path.name in archive)), f"{path.name}, SHA-256 {digest[:8]}..."


def _of_openai(archive: tuple[str, ...]) -> Path | None:
    """OpenAI's archive where OpenAI's own package downloads it to."""
    return next((path for path in (Path("~/.cache/clip").expanduser() / each for each in archive) if path.is_file()), None)


def _read(wanted: Wanted, path: Path, *, trusted: bool) -> dict[str, Tensor]:
    """The tensors of a checkpoint, floats as float32: bare, as `state_dict` of a training of open_clip, or of an archive."""
    from safetensors.torch import load_file

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; OpenAI's files stay what they are
            if trusted:
                found: Any = torch.jit.load(str(path), map_location="cpu").state_dict()
                found = {key: value for key, value in found.items() if key not in NOTES}
            elif path.suffix == ".safetensors":
                found = load_file(path)
            else:
                found = torch.load(path, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found) if isinstance(found, dict) else None
        if found is None or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
            raise ValueError("it holds something else than named tensors")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch and safetensors have many for a damaged file
        raise hub_files.damaged(wanted, path, [hub_files.said(error)]) from error
    # several processes train a net inside a module
    named = {key.removeprefix("module."): value for key, value in found.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in named.items()}


def _filled(wanted: Wanted, path: Path, state: dict[str, Tensor]) -> Any:
    """The net with these weights; strict, where open_clip would stretch places for another size of image."""
    with torch.device("meta"):  # no time for random weights that are thrown away
        net = build(wanted.name)
    own = net.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # which torch starts at 0 where old files lack them
    faults = [f"{key} is missing" for key in own if key not in state and key not in counters]
    faults += [f"{key} is not of the net" for key in state if key not in own]
    shapes = [(key, tuple(state[key].shape), tuple(own[key].shape)) for key in own if key in state]
    faults += [f"{key} is {shape}, not {due}" for key, shape, due in shapes if shape != due]
    if faults:
        raise hub_files.damaged(wanted, path, faults)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:  # integers, for one
        raise hub_files.damaged(wanted, path, [hub_files.said(error)]) from error
    # the causal mask of the texts, which no checkpoint holds
    net.attn_mask = torch.full((net.context_length, net.context_length), float("-inf")).triu_(1)
    return net

"""How the committed weights of the tiny twins are made: one recipe a twin, and what writes its result."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from functools import partial

import torch

from labkit import pretrain_clip, pretrain_conv, pretrain_vit, twin_nets, twins
from labkit.recipes import Trained

#: name of a twin -> what trains it, called with the label of its progress bar
RECIPES: dict[str, Callable[[str], Trained]] = {
    "tiny_resnet": partial(pretrain_conv.resnet, name="tiny_resnet"),
    "tiny_resnet_small": partial(pretrain_conv.resnet, name="tiny_resnet_small"),
    "tiny_vgg": partial(pretrain_conv.vgg, name="tiny_vgg"),
    **{name: partial(pretrain_conv.on_toybox, name=name) for name in (*twin_nets.SQUEEZENETS, "toybox_vgg", "toybox_resnet")},
    **{
        name: partial(pretrain_vit.masked if name == "toybox_mae" else pretrain_vit.supervised, name=name)
        for name in twin_nets.VITS
    },
    **{name: partial(pretrain_clip.pair, name=name) for name in twin_nets.CLIPS},
}


def rebuild(name: str) -> str:
    """Train a twin anew and put its weights in the place of the committed ones; returns a line on the old and new accuracy.

    Until the training has ended well, the old file stays as it is.

    Raises:
        ValueError: there is no such twin.
        labkit.guards.NonFiniteLoss: the training diverged.
        OSError: the file can't be written.
    """
    if name not in RECIPES:
        raise ValueError(f"there are no weights {name!r} to make: use one or more of {', '.join(RECIPES)}")
    stated = stated_accuracy(name)
    twins.require_writable(name)  # before the training, not after it
    began = time.perf_counter()
    net, measured, notes = RECIPES[name](f"training {name}")
    seconds = time.perf_counter() - began
    about = {
        "command": f"labkit data --rebuild-weights {name}",
        "source": f"drawn by labkit.worlds.{'toybox' if name.startswith('toybox') else 'glyphs'} from a fixed seed",
        "accuracy": json.dumps(measured),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": torch.__version__,
        "seconds": f"{seconds:.0f}",
        **notes,
    }
    path = twins.save(name, net, about)
    size = path.stat().st_size / 1000
    return f"{name}: {twins.told(measured)} (before: {stated}), {seconds / 60:.1f} min, {size:.0f} kB in {path}"


def stated_accuracy(name: str) -> str:
    """The accuracy that the committed weights state, or that there are none which could."""
    try:
        return twins.told(twins.accuracy(name))
    except FileNotFoundError:
        return "no weights"
    except ValueError:
        return "damaged"

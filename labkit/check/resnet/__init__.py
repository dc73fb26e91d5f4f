"""Checks of lab 01, transfer with a ResNet: one function an exercise."""

from labkit.check.resnet.blocks import no_skip
from labkit.check.resnet.freezing import train_only
from labkit.check.resnet.gradient import residual_gradient
from labkit.check.resnet.lesions import lesion_drops
from labkit.check.resnet.measuring import accuracy
from labkit.check.resnet.reading import hooked_means

__all__ = ["accuracy", "hooked_means", "lesion_drops", "no_skip", "residual_gradient", "train_only"]

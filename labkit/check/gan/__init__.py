"""Checks of lab 03, how GANs fail: one function an exercise."""

from labkit.check.gan.condition import ConditionalDiscriminator
from labkit.check.gan.discriminator import discriminator_loss
from labkit.check.gan.generator import generator_losses
from labkit.check.gan.latent import slerp
from labkit.check.gan.modes import mode_coverage
from labkit.check.gan.packing import pack

__all__ = ["ConditionalDiscriminator", "discriminator_loss", "generator_losses", "mode_coverage", "pack", "slerp"]

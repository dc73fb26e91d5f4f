"""Checks of lab 08, domain adaptation with DANN: one function an exercise."""

from labkit.check.dann.losses import dann_loss, ramp
from labkit.check.dann.reversal import reverse, three_parts
from labkit.check.dann.selection import proxy_a_distance, pseudo_labels

__all__ = ["dann_loss", "proxy_a_distance", "pseudo_labels", "ramp", "reverse", "three_parts"]

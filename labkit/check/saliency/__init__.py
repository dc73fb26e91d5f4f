"""Checks of lab 07, saliency, fooling images and class visualisation: one function an exercise."""

from labkit.check.saliency.ball import project
from labkit.check.saliency.deletion import deletion_curve
from labkit.check.saliency.fooling import fooling_step
from labkit.check.saliency.integrated import integrated_gradients
from labkit.check.saliency.maps import saliency
from labkit.check.saliency.visualising import visualisation_step

__all__ = ["deletion_curve", "fooling_step", "integrated_gradients", "project", "saliency", "visualisation_step"]

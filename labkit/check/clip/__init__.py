"""Checks of lab 05, CLIP's zero-shot classifier, its loss and the gap between its modalities: one function an exercise."""

from labkit.check.clip.contrast import clip_loss
from labkit.check.clip.gap import gap_metrics
from labkit.check.clip.moving import shifted
from labkit.check.clip.naming import recall_by_name
from labkit.check.clip.prompts import zero_shot_classifier
from labkit.check.clip.rotation import procrustes
from labkit.check.clip.turning import repaired

__all__ = ["clip_loss", "gap_metrics", "procrustes", "recall_by_name", "repaired", "shifted", "zero_shot_classifier"]

"""Checks of lab 02, vision transformers, their attention, hidden patches and probes: one function an exercise."""

from labkit.check.vit.attention import attention_map
from labkit.check.vit.classes import top_k
from labkit.check.vit.keeping import keep_tokens
from labkit.check.vit.pairing import mcnemar
from labkit.check.vit.probing import two_probes
from labkit.check.vit.rolling import rollout

__all__ = ["attention_map", "keep_tokens", "mcnemar", "rollout", "top_k", "two_probes"]

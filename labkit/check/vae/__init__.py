"""Checks of lab 04, VAE posterior collapse: one function an exercise."""

from labkit.check.vae.bound import neg_elbo, reparameterise
from labkit.check.vae.losses import beta_eff, free_bits
from labkit.check.vae.units import active_units, knock_out, ppca_prediction

__all__ = ["active_units", "beta_eff", "free_bits", "knock_out", "neg_elbo", "ppca_prediction", "reparameterise"]

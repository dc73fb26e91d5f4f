"""Checks that students call right after an exercise: `from labkit.check import vae as check`."""

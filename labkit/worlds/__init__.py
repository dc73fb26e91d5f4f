"""Embedded worlds: sets that need no download, one module each."""

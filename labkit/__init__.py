"""Deep-vision lab workbook. Importing this package does nothing; start a notebook with `from labkit.lab import open_lab`."""

__version__ = "0.1.0"

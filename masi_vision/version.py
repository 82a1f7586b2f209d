"""The version that every score names."""

__version__ = "0.1.0"

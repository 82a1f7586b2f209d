"""The optics of skin: density, its pigments, and its tone."""

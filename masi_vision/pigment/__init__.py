"""Pigment above a person's own normal skin: the map, and what is measured of it per region."""

"""The face: where it is, how it is turned, which skin belongs to which subunit."""

"""Whole studies: every visit scored once, whatever happens on the way."""

"""Planted truth: pigment of known place and density on photographs. Imports nothing that measures."""

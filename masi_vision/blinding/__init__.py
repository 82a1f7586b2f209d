"""Coded sets for blinded reading, the sealed key, and breaking the code."""

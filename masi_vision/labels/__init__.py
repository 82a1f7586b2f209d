"""Annotated photographs: a site's own labels in and out, in one layout, split by patient."""

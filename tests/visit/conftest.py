"""Faces made of even skin are measured by rules here."""

import pytest


@pytest.fixture(scope="session")
def settings(by_rules):
    return by_rules

"""Calls of the command line, and the tables it leaves."""

import csv

from typer.testing import CliRunner

from masi_vision.cli.main import app


def masi(*arguments):
    """Run a verb as a person would."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def table(file):
    """Columns and rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        return reader.fieldnames, list(reader)

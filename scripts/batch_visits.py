"""Score every visit of a study: the same as `masi batch`, from a checkout.

python scripts/batch_visits.py STUDY --out DIR [--workers N] [--overlays] [--dry-run]
"""

from __future__ import annotations

import typer

from masi_vision.cli.batch import batch


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(batch)
    app()


if __name__ == "__main__":
    main()

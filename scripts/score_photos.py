"""Score an assessor's set of photos: the same as `masi score`, from a checkout.

python scripts/score_photos.py PATH... --out DIR [--settings FILE] [--quality FILE] [--save-masks]
"""

from __future__ import annotations

import typer

from masi_vision.cli.score import score


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(score)
    app()


if __name__ == "__main__":
    main()

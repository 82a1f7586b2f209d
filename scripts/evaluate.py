"""Measure what is shipped, on people it never saw.

python scripts/evaluate.py regions --faces FACES [--cache runs/cache] [--write-card]

The pigment map is measured by benchmarks/pigment.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["regions"])
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where labels are kept")
    parser.add_argument("--write-card", action="store_true", help="write the table into the model card")
    parser.add_argument("--json", type=Path, help="write the figures of every photo here")
    arguments = parser.parse_args()

    import face_card

    from masi_vision.face.models import face_models
    from masi_vision.training import face_figures
    from masi_vision.training.cache import prepare

    data, models = prepare(arguments.faces, arguments.cache), face_models()
    figures = face_figures.evaluate(data, models)
    table = face_figures.table(figures, face_figures.evaluate(data, models, as_made=True))
    wrong = face_card.false_faces_in_skimage(models)
    print(face_card.markdown_table(table))
    print(f"\nFaces found in {wrong['pictures']} pictures without one: {wrong['found']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(face_figures.as_values(figures), indent=1), encoding="utf-8")
    if arguments.write_card:
        face_card.write(table, wrong, data)


if __name__ == "__main__":
    main()

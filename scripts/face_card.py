"""The model card: written from the run and the evaluation, never by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from masi_vision.face.models import FaceModels
from masi_vision.model_files import CARD, read_json
from masi_vision.shipped import shipped_file
from masi_vision.training.cache import TrainingSet, label_corrections
from masi_vision.training.data import Pixels
from masi_vision.training.face_figures import Row, false_faces
from masi_vision.written import write_file

# Pictures of scikit-image without a human face; "astronaut" and "camera" show people.
_FACELESS = (
    *(
        "brick",
        "cell",
        "chelsea",
        "chessboard_GRAY",
        "chessboard_RGB",
        "clock_motion",
        "coffee",
        "coins",
        "color",
    ),
    *(
        "grass",
        "gravel",
        "horse",
        "hubble_deep_field",
        "ihc",
        "logo",
        "microaneurysms",
        "moon",
        "motorcycle_left",
    ),
    *("motorcycle_right", "page", "phantom", "retina", "rocket", "text"),
)

Table = dict[str, Row]


def faceless_pictures() -> list[Pixels]:
    """The pictures that scikit-image carries, in colour, without a face."""
    import skimage.data
    from PIL import Image

    folder = Path(skimage.data.__file__).parent
    files = [file for name in _FACELESS for file in sorted(folder.glob(f"{name}.*"))]
    return [np.asarray(Image.open(file).convert("RGB"), np.uint8) for file in files]


def false_faces_in_skimage(models: FaceModels) -> dict[str, int]:
    """How many faces are found where there are none."""
    pictures = faceless_pictures()
    return {"pictures": len(pictures), "found": false_faces(pictures, models)}


def markdown_table(table: Table) -> str:
    """The evaluation as a Markdown table."""
    head = (
        "| photos | n | found | mean IoU (95 % interval) | per-photo mean | forehead | right malar | left malar "
        "| chin | landmarks, % of eye distance | yaw error, deg | sides swapped | round trip, px |"
    )
    lines = [head, "|" + " --- |" * head.count(" | ") + " --- |"]
    for name, row in table.items():
        lines.append(
            f"| {name} | {row['photos']:.0f} | {row['found']:.1%} | {row['mean_iou']:.3f} "
            f"({row['mean_iou_low']:.3f} to {row['mean_iou_high']:.3f}) | {row['photo_mean_iou']:.3f} "
            f"| {row['iou_forehead']:.3f} | {row['iou_right_malar']:.3f} | {row['iou_left_malar']:.3f} "
            f"| {row['iou_chin']:.3f} | {row['landmark_error']:.2%} | {row['yaw_error_deg']:.1f} "
            f"| {row['swapped']:.1%} | {row['round_trip_px']:.2f} |"
        )
    return "\n".join(lines)


def write(table: Table, wrong: dict[str, int], data: TrainingSet) -> None:
    """Put the table into the card of the shipped models, as JSON and as Markdown."""
    file = shipped_file("models", CARD)
    card = read_json(file)
    card["evaluation"] = table
    card["photos"] = {part: len(data.part(part)) for part in ("train", "validation", "test")}
    card["labels"] = {"left_out_of_training": len(data.doubtful)}
    for part in ("train", "test"):
        judged = [verdicts for one, verdicts in label_corrections().items() if data.split[one] == part]
        verdicts = [verdict for one in judged for verdict in one.values()]
        card["labels"] |= {
            f"{part}_photos_corrected": len(judged),
            f"{part}_regions_corrected": sum(verdict != "unclear" for verdict in verdicts),
            f"{part}_regions_unclear": verdicts.count("unclear"),
        }
    card["faces_found_where_there_are_none"] = wrong
    write_file(file, json.dumps(card, indent=1) + "\n")  # a figure may be no number
    file.with_suffix(".md").write_text(markdown(card), encoding="utf-8")


def markdown(card: dict[str, Any]) -> str:
    """The card for people."""
    photos, drawn, wrong = card["photos"], card["samples_drawn"], card["faces_found_where_there_are_none"]
    hashes = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in card["sha256"].items())
    return _TEMPLATE.format(
        table=markdown_table(card["evaluation"]),
        uncorrected=card["evaluation"]["frontal, labels uncorrected"]["mean_iou"],
        hashes=hashes,
        train=photos["train"],
        validation=photos["validation"],
        test=photos["test"],
        **card["labels"],
        finder=drawn["finder"],
        reader=drawn["reader"],
        wrong=wrong["found"],
        pictures=wrong["pictures"],
        torch=card["versions"]["torch"],
        smp=card["versions"]["segmentation-models-pytorch"],
        shares=card["largest_difference_to_pytorch"]["shares"],
        landmarks=card["largest_difference_to_pytorch"]["landmarks"],
        trained_on=card["trained_on"],
        licence=card["licence"],
        atlas=card["atlas"],
    )


_TEMPLATE = """# Face models

Written by `scripts/evaluate.py regions --write-card` from the training run and the evaluation.

| file | SHA-256 |
| --- | --- |
{hashes}

- **face_finder**: coarse pass. A 128 px picture of the whole photo to the probability of a face and heat maps of six
  points (segmentation-models-pytorch encoder `tu-mobilenetv3_small_100`, depth 4, U-Net blocks to quarter resolution).
- **face_reader**: fine pass. A 192 px upright crop to seven region probabilities (none, forehead, right malar, left
  malar, chin, nose, upper lip: *visible skin only*, sides are the patient's own) and 478 landmarks with depth
  (encoder `resnet18`, depth 4, U-Net blocks to half resolution; landmarks by soft-argmax of 128 heat maps and one
  linear map to all 478).
- **face_atlas**: the aligned frame `{atlas}`: mean face, triangles, and the map of subunits.

Licence: {licence}. Exported with torch {torch}, segmentation-models-pytorch {smp}; ONNX Runtime and PyTorch differ by at
most {shares:.0e} in a probability and {landmarks:.0e} px in a landmark.

## Data
{trained_on}: {train} photos to train, {validation} to choose, {test} to test, split by person (look-alike faces count as
one person). No photograph of a real person, and none with melasma. Landmarks come with the photos, 478 in the
order of MediaPipe's Face Landmarker; who placed them, and whether anybody looked, is not on record, and an error of theirs is in every
figure of landmarks below.

Which skin is *visible* is found from each photo by rules (`masi_vision/training/labels.py`: GrabCut, shade by hue, beard
by fine detail), and the rules err. They were mended after predictions had been seen beside the labels of some test
photos (bare chins and shaded cheeks were lost), so the rules are not blind to the networks. The labels were then looked
at, one by one, without sight of any prediction and not by a dermatologist (`configs/training/label_corrections.yaml`):

- test: in {test_photos_corrected} photos {test_regions_corrected} regions were set to the whole region or to none, and {test_regions_unclear} regions of which no such label is
  right count nowhere. The last two rows of the table stand against the labels as the rules made them;
- training: in {train_photos_corrected} photos {train_regions_corrected} regions were set in the same way, and from {train_regions_unclear} nothing is learned; {left_out_of_training} photos are
  left out (`configs/training/doubtful_labels.yaml`).

What is left are errors of the labels as well as of the networks: thin spectacle frames, clear lenses and light beards
often count as skin.

{finder:,} samples were drawn for the finder. The reader was trained twice: 108,600 samples from nothing, of which the
first 38,400 with labels that missed shaded skin and with heads turned a little wrongly, and none with the training
labels corrected; then {reader:,} from where that ended, with labels as they stand, by the commands of that time (now one: `scripts/train_regions.py`):

    python scripts/train_regions.py finder --faces FACES --run runs/first/finder --minutes 15
    python scripts/train_regions.py reader --faces FACES --run runs/first/reader --minutes 70
    python scripts/train_regions.py export --faces FACES --run runs/first --out runs/first
    python scripts/train_regions.py reader --faces FACES --run runs/reader --shipped runs/first/face_reader.onnx --minutes 85
    python scripts/train_regions.py export --faces FACES --run runs --out models
    python scripts/evaluate.py regions --faces FACES --write-card

The minutes are of two processor cores, the second reader's without bfloat16. What the landmarks say weighs on what the network saw
(`masi_vision/face/find.py`): the figures are of that whole. Reading every crop mirrored too, and averaging, took half of a photo's time
for 0.001 more of the mean IoU on the frontal photos, with landmarks 1.9 instead of 1.8 % of the eye distance off: it was dropped.

## Figures on the test photos
Intersection over union with the labels in the photo's own pixels, counted as `masi evaluate` does. *Mean IoU*: areas
summed over the photos, each photo scaled by its face's size, then the mean over forehead, malars and chin; in the
bootstrap people are drawn with replacement. *Per-photo mean*: mean over the photos of each photo's mean. A face that was
not found counts as no overlap. *Sides swapped*: share of the photos on which a cheek lies more on the other's label than
on its own.
*Round trip*: the worst photo's 95th percentile of how far skin moves to the aligned frame and back.

{table}

Faces found in {pictures} pictures without one: {wrong}.

## Limits
- Synthetic faces, most of them lit for effect. Clinical photographs were not at hand: check the overlays on yours.
- Heads turned beyond 45 degrees: figures above; the far side is not drawn.
- Children are in the training data; a trial has adults only.
- Tone classes are of the skin as photographed: the light is in them.
- The limits of the gate that refuses pictures without a face were set with the pictures counted above, and the share of
  test photos found, in view: take both figures as those of a choice, not of a blind test.
- Two readers were compared before this one was shipped, with the test figures of both in view (frontal 0.863 and 0.866).
  Against labels as the rules made them the one before agrees better (frontal 0.848; above, {uncorrected:.3f}): it learned their errors too.
- Beards: light ones and stubble count as skin. Sunglasses: a rim of the lens may count to the cheek.
- One face per photo: with two, the more certain one is read; the check `other_face_fraction` refuses most such photos.
"""

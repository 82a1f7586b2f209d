"""A site's photos and what its tools exported of them, written as the tools write it."""

import base64
import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 72, 96


@pytest.fixture
def site(tmp_path, plain_skin):
    """Make a folder of small photos without faces."""

    def make(*files, height=HEIGHT, width=WIDTH):
        folder = tmp_path / "photos"
        for number, file in enumerate(files):
            photo = folder / file
            photo.parent.mkdir(parents=True, exist_ok=True)
            pixels = plain_skin(height, width, (200 - number, 160, 140))
            cv2.imwrite(str(photo), pixels[..., ::-1])
        return folder

    return make


@pytest.fixture
def coco_file(tmp_path):
    """Write COCO annotations: (image number, class, segmentation)."""

    def write(images, drawn, classes=("Forehead", "chin", "Right malar", "melasma"), **more):
        content = {
            "info": {"description": "", "version": "1.0", "year": 2024},
            "licenses": [{"id": 0, "name": "", "url": ""}],
            "categories": [
                {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes, 1)
            ],
            "images": [
                {
                    "id": number,
                    "width": WIDTH,
                    "height": HEIGHT,
                    "file_name": name,
                    "license": 0,
                    "date_captured": 0,
                }
                for number, name in enumerate(images, 1)
            ],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": classes.index(name) + 1,
                    "segmentation": segmentation,
                    "area": 100.0,
                    "bbox": [0.0, 0.0, 1.0, 1.0],
                    "iscrowd": int(isinstance(segmentation, dict)),
                    "attributes": {"occluded": False},
                }
                for number, (image, name, segmentation) in enumerate(drawn, 1)
            ],
        }
        file = tmp_path / "instances_default.json"
        file.write_text(json.dumps(content | more))
        return file

    return write


@pytest.fixture
def png_text():
    """A mask as labelme keeps it: a PNG in base64."""

    def coded(mask):
        stream = io.BytesIO()
        Image.fromarray(np.asarray(mask, bool)).save(stream, format="PNG")
        return base64.b64encode(stream.getvalue()).decode()

    return coded

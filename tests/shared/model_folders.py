"""Folders of models as tests need them: copies of the shipped ones, changed in one place."""

import hashlib
import json
import shutil

from masi_vision.model_files import shipped_folder
from masi_vision.visit.models import CARDS


def copied(folder, **about):
    """The shipped models in another folder; what is told of them stands in model.json."""
    folder.mkdir(parents=True)
    for file in shipped_folder().glob("*"):
        if file.suffix in {".json", ".npz", ".onnx"}:
            shutil.copyfile(file, folder / file.name)
    if about:
        (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def retrained(folder, **about):
    """Models of other hashes that measure the same: a word of metadata behind the pigment network's end."""
    copied(folder, **about)
    with (folder / "pigment_reader.onnx").open("ab") as file:
        file.write(metadata("trained_at", "site A"))
    rehash(folder)
    return folder


def metadata(key, value):
    """An entry of ONNX metadata: field 14 of the model, in it key and value; short words only."""
    entry = b"".join(bytes([tag, len(word)]) + word.encode() for tag, word in ((0x0A, key), (0x12, value)))
    return bytes([0x72, len(entry)]) + entry


def change_card(folder, name, **values):
    """Keys of a card, set; None takes one out."""
    card = json.loads((folder / name).read_text(encoding="utf-8")) | values
    card = {key: value for key, value in card.items() if value is not None}
    (folder / name).write_text(json.dumps(card), encoding="utf-8")


def rehash(folder):
    """Write the hashes of the files as they are into the cards."""
    for name in CARDS:
        files = json.loads((folder / name).read_text(encoding="utf-8"))["sha256"]
        digests = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
        change_card(folder, name, sha256=digests)

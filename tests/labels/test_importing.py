import os
import stat

import cv2
import numpy as np
import pytest
from PIL import Image

from masi_vision.errors import DatasetError
from masi_vision.face.align import Alignment
from masi_vision.labels.check import check_dataset, tone_of_photo
from masi_vision.labels.classes import mapped_classes
from masi_vision.labels.dataset import SPLITS, Dataset, Entry, read_dataset, write_grey
from masi_vision.labels.export import Export, LabelledPhoto, Shape, labels_of
from masi_vision.labels.importing import ImportPlan, import_labels, match_photos, refuse_used
from masi_vision.labels.people import people_by_folder, people_by_table
from masi_vision.labels.photo_folder import open_photos
from masi_vision.labels.png import read_png_masks
from masi_vision.labels.source import read_export
from masi_vision.photo import Photo
from masi_vision.skin.tone import TONES
from masi_vision.visit.models import shipped_models

SIZE = (72, 96)
TOP = [[0, 0, 96, 0, 96, 20, 0, 20]]
LOW = [[0, 10, 96, 10, 96, 72, 0, 72]]
SPOT = [[10, 2, 20, 2, 20, 8, 10, 8]]


@pytest.fixture
def brought_in(tmp_path, settings):
    """Import annotations; gives back the data set as it is read again, and what was left out."""

    def run(export, folder, *told, table=None, out="dataset"):
        photos = open_photos(folder, settings.views)
        matched = match_photos(export, photos)
        if table:
            people = people_by_table(table, photos)
        else:
            people = people_by_folder(matched.photos, photos, each_is_a_patient=True)
        plan = ImportPlan(export, mapped_classes(told, export), photos, matched, people)
        made = import_labels(plan, tmp_path / out, face=shipped_models().face, settings=settings)
        return read_dataset(made.data.folder), made.left_out

    return run


def layers_of(data, number=0):
    entry = data.entries[number]
    pigment = data.pigment(entry, SIZE)
    return data.labels(entry, SIZE), pigment


def test_regions_and_pigment_have_layers_of_their_own(site, coco_file, brought_in):
    drawn = [(1, "Forehead", TOP), (1, "chin", LOW), (1, "melasma", SPOT)]
    data, left_out = brought_in(read_export(coco_file(["a.jpg"], drawn)), site("a.jpg"))
    labels, pigment = layers_of(data)
    assert left_out == ()
    assert os.name != "posix" or stat.S_IMODE(data.folder.stat().st_mode) == 0o700  # photos lie there
    assert (labels[:10] == 1).all()
    assert (labels[10:] == 4).all()  # what is drawn later covers what was drawn before
    assert pigment.lesion.sum() == 60
    assert pigment.known.all()


def test_sides_are_the_patients_own(site, coco_file, brought_in):
    """The right malar region lies on the left of the photo, and stays where it was drawn."""
    left_half = [[0, 0, 48, 0, 48, 72, 0, 72]]
    export = read_export(coco_file(["a.jpg"], [(1, "Right malar", left_half)]))
    labels, _ = layers_of(brought_in(export, site("a.jpg"))[0])
    assert (labels[:, :48] == 2).all()
    assert not labels[:, 48:].any()


def test_hair_is_a_hole_whenever_it_was_drawn(site, coco_file, brought_in):
    classes = ("hair", "forehead", "unsure")
    drawn = [(1, "hair", SPOT), (1, "unsure", [[40, 2, 50, 2, 50, 8, 40, 8]]), (1, "forehead", TOP)]
    data, _ = brought_in(read_export(coco_file(["a.jpg"], drawn, classes)), site("a.jpg"))
    labels, pigment = layers_of(data)
    assert (labels[2:8, 10:20] == 0).all()
    assert (labels[2:8, 40:50] == 255).all()
    assert labels[0, 0] == 1
    assert pigment is None


def test_a_photo_without_pigment_is_clear_where_the_class_was_there(site, coco_file, brought_in):
    folder = site("a.jpg", "b.jpg")
    data, _ = brought_in(read_export(coco_file(["a.jpg"], [(1, "chin", TOP)])), folder)
    _, pigment = layers_of(data)
    assert pigment.known.all()
    assert not pigment.lesion.any()
    nobody_could = read_export(coco_file(["a.jpg"], [(1, "chin", TOP)], ("chin",)))
    data, _ = brought_in(nobody_could, folder, out="other")
    assert layers_of(data)[1] is None
    only_pigment = read_export(coco_file(["a.jpg"], [(1, "melasma", SPOT)]))
    data, _ = brought_in(only_pigment, folder, out="third")
    labels, pigment = layers_of(data)
    assert labels is None
    assert pigment.lesion.any()


def test_what_nobody_knows_is_unknown_in_the_pigment_too(site, coco_file, brought_in):
    classes = ("chin", "pigment", "ignore")
    drawn = [(1, "chin", TOP), (1, "ignore", SPOT), (1, "pigment", [[10, 2, 12, 2, 12, 4, 10, 4]])]
    data, _ = brought_in(read_export(coco_file(["a.jpg"], drawn, classes)), site("a.jpg"))
    _, pigment = layers_of(data)
    assert (~pigment.known).sum() == 60  # pigment drawn within what nobody knows is not known either
    assert pigment.lesion.sum() == 0


def test_classes_can_be_mapped_or_skipped(site, coco_file, brought_in):
    export = read_export(coco_file(["a.jpg"], [(1, "Stirn", TOP), (1, "Ohr", LOW)], ("Stirn", "Ohr")))
    data, _ = brought_in(export, site("a.jpg"), "stirn=forehead", "Ohr=skip")
    labels, _ = layers_of(data)
    assert np.unique(labels).tolist() == [0, 1]


def test_every_class_that_is_not_known_is_listed(site, coco_file):
    drawn = [(1, "Stirn", TOP), (2, "Stirn", TOP), (2, "Ohr", LOW), (2, "chin", LOW)]
    export = read_export(coco_file(["a.jpg", "b.jpg"], drawn, ("Stirn", "Ohr", "chin")))
    with pytest.raises(DatasetError) as caught:
        mapped_classes((), export)
    assert "Stirn: 2 times, in a.jpg, b.jpg" in str(caught.value)
    assert "Ohr: 1 times, in b.jpg" in str(caught.value)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("Stirn", "Expected THEIRS=OURS"),
        ("chin=cheekbone", "where OURS is one of forehead"),
        ("ear=skip", "'ear' is no class of the annotations. Expected one of: Forehead"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(coco_file, told, sentence):
    export = read_export(coco_file(["a.jpg"], [(1, "chin", TOP)]))
    with pytest.raises(DatasetError, match=sentence):
        mapped_classes([told], export)


def test_problems_of_single_photos_leave_the_rest(site, coco_file, brought_in):
    folder = site("good.jpg", "thin.jpg", "bare.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    cv2.imwrite(str(folder / "small.jpg"), np.full((80, 64, 3), (90, 120, 160), np.uint8))
    names = ["good.jpg", "thin.jpg", "bare.jpg", "broken.jpg", "small.jpg", "gone.jpg"]
    drawn = [(n, "chin", TOP) for n in (1, 4, 5, 6)] + [(2, "chin", [[1, 1, 5, 5]])]
    data, left_out = brought_in(read_export(coco_file(names, drawn)), folder)
    assert [entry.photo for entry in data.entries] == ["photos/good.jpg"]
    text = "\n".join(left_out)
    assert "thin.jpg: annotation 5 (chin) is a polygon of 2 corners" in text
    assert "bare.jpg: nothing is drawn on it." in text
    assert "broken.jpg: is damaged" in text
    assert "small.jpg: was annotated at 96 x 72 px. Expected 64 x 80 px" in text
    assert "gone.jpg: is not below the folder of photos." in text
    assert len(left_out) == 5


def test_labels_of_a_photo_that_lies_on_its_side_are_told(tmp_path, site, coco_file, brought_in):
    folder = site("good.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 72), (200, 160, 140)).save(folder / "turned.jpg", exif=exif)
    drawn = [(1, "chin", TOP), (2, "chin", TOP)]
    _, left_out = brought_in(read_export(coco_file(["good.jpg", "turned.jpg"], drawn)), folder)
    assert "Expected 72 x 96 px, its upright size. It was annotated as it is stored, lying" in left_out[0]


def test_a_photo_annotated_twice_is_left_out(site, coco_file, brought_in):
    drawn = [(1, "chin", TOP), (2, "chin", TOP), (3, "chin", TOP)]
    export = read_export(coco_file(["a.jpg", "photos/a.jpg", "b.jpg"], drawn))
    data, left_out = brought_in(export, site("a.jpg", "b.jpg"))
    assert left_out == ("a.jpg: is annotated 2 times, as a.jpg, photos/a.jpg.",)
    assert len(data.entries) == 1


def test_nothing_usable_is_refused(site, coco_file, brought_in, tmp_path):
    with pytest.raises(DatasetError, match=r"photos can be used:\n  a\.jpg: nothing"):
        brought_in(read_export(coco_file(["a.jpg"], [])), site("a.jpg"))
    assert not (tmp_path / "dataset").exists()
    with pytest.raises(DatasetError, match=r"gone.jpg: is not below"):
        brought_in(read_export(coco_file(["gone.jpg"], [(1, "chin", TOP)])), site("a.jpg"))


def test_a_folder_in_use_is_refused(tmp_path):
    refuse_used(tmp_path / "new")
    refuse_used(tmp_path)
    (tmp_path / "thing").write_text("x")
    with pytest.raises(DatasetError, match="is in use"):
        refuse_used(tmp_path)
    with pytest.raises(DatasetError, match="is in use"):
        refuse_used(tmp_path / "thing")


def test_photos_are_copied_as_they_are_under_safe_names(site, coco_file, brought_in):
    names = ["P 01/V1/front.jpg", "P/01/V1-front.jpg", "P-01/V1/front.png"]
    folder = site(*names)
    data, _ = brought_in(read_export(coco_file(names, [(n, "chin", TOP) for n in (1, 2, 3)])), folder)
    made = sorted(entry.photo for entry in data.entries)
    assert made == [
        "photos/P-01-V1-front-2.jpg",
        "photos/P-01-V1-front-3.png",
        "photos/P-01-V1-front.jpg",
    ]
    originals = {(folder / name).read_bytes() for name in names}
    assert {(data.folder / name).read_bytes() for name in made} == originals


def test_splits_of_the_table_stay_and_others_are_drawn(tmp_path, site, coco_file, brought_in):
    names = [f"{n}.jpg" for n in range(6)]
    table = tmp_path / "table.csv"
    rows = ["photo,patient,split", "0.jpg,A,test", "1.jpg,B,", "2.jpg,C,", "3.jpg,C,", "4.jpg,D,"]
    table.write_text("\n".join(rows))
    export = read_export(coco_file(names, [(n + 1, "chin", TOP) for n in range(6)]))
    data, left_out = brought_in(export, site(*names), table=table)
    split = {entry.photo: entry.split for entry in data.entries}
    assert split["photos/0.jpg"] == "test"
    assert split["photos/2.jpg"] == split["photos/3.jpg"]
    assert all(split.values())
    assert left_out == ("5.jpg: does not stand in the table of photos.",)


def test_masks_of_our_own_keep_their_contrast(tmp_path, site, brought_in):
    folder = tmp_path / "masks"
    folder.mkdir()
    regions = np.zeros(SIZE, np.uint8)
    regions[5:30] = 3
    contrast = np.zeros(SIZE, np.uint16)
    contrast[8:12, 8:12] = 1234
    contrast[12:30] = 40  # measured on clear skin: less than the settings call pigment
    cv2.imwrite(str(folder / "P01_V1_front_regions.png"), regions)
    cv2.imwrite(str(folder / "P01_V1_front_pigment.png"), contrast)
    cv2.imwrite(str(folder / "P01_V1_left_regions.png"), regions)
    photos = site("P01/V1/front.jpg", "P01/V1/left.jpg")
    data, _ = brought_in(read_png_masks(folder), photos)
    labels, pigment = layers_of(data)
    assert np.array_equal(labels, regions)
    assert pigment.density_od[9, 9] == pytest.approx(0.1234)
    assert pigment.lesion.sum() == 16
    assert layers_of(data, 1)[1] is None  # no mask of pigment: nobody said that it is clear


def test_a_mask_of_the_lesion_says_which_contrast_is_pigment(tmp_path, site, brought_in):
    """However weak: the network calls skin pigmented by its probability, not by its contrast."""
    folder = tmp_path / "masks"
    folder.mkdir()
    regions, lesion = np.full(SIZE, 3, np.uint8), np.zeros(SIZE, np.uint8)
    contrast = np.full(SIZE, 900, np.uint16)
    lesion[8:12, 8:12], contrast[8:12, 8:12] = 1, 40
    contrast[8, 8] = 0
    for kind, mask in (("regions", regions), ("lesion", lesion), ("pigment", contrast)):
        cv2.imwrite(str(folder / f"P01_V1_front_{kind}.png"), mask)
    cv2.imwrite(str(folder / "P01_V1_left_lesion.png"), lesion)
    data, left_out = brought_in(read_png_masks(folder), site("P01/V1/front.jpg", "P01/V1/left.jpg"))
    assert left_out == ()
    both, alone = layers_of(data)[1], layers_of(data, 1)[1]
    assert np.array_equal(both.lesion, lesion > 0)
    assert both.density_od[9, 9] == pytest.approx(0.004)
    assert np.array_equal(alone.lesion, lesion > 0)
    assert alone.density_od is None


def test_a_mask_of_the_lesion_with_other_codes_is_no_clear_skin(tmp_path):
    """Whatever the class is said to mean: its contrast would be taken for 0."""
    for kind, mask in (("lesion", np.full(SIZE, 255, np.uint8)), ("pigment", np.full(SIZE, 900, np.uint16))):
        cv2.imwrite(str(tmp_path / f"P01_V1_front_{kind}.png"), mask)
    (photo,) = read_png_masks(tmp_path).photos
    with pytest.raises(ValueError, match=r"holds the codes \[255\]"):
        photo.density()


def test_faces_that_are_not_found_are_kept_and_told(site, coco_file, brought_in):
    data, _ = brought_in(read_export(coco_file(["a.jpg"], [(1, "chin", TOP)])), site("a.jpg"))
    contents = check_dataset(data)
    assert contents.no_face == ("photos/a.jpg",)
    assert contents.problems == ()
    assert contents.regions["chin"]["train"] == 1


def test_everything_that_is_wrong_with_a_data_set_is_listed(site, coco_file, brought_in):
    names = ["a.jpg", "b.jpg", "c.jpg"]
    data, _ = brought_in(read_export(coco_file(names, [(n, "chin", TOP) for n in (1, 2, 3)])), site(*names))
    cv2.imwrite(str(data.folder / "labels/a.png"), np.full(SIZE, 9, np.uint8))
    cv2.imwrite(str(data.folder / "pigment/b.png"), np.zeros((5, 5), np.uint8))
    (data.folder / "photos/c.jpg").write_bytes(b"nothing")
    problems = check_dataset(read_dataset(data.folder)).problems
    assert [line.partition(": ")[0] for line in problems] == ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg"]
    assert "holds the codes [9]" in problems[0]


def test_pigment_off_the_labelled_skin_is_listed_and_is_no_photo_with_pigment(site, coco_file, brought_in):
    corner, over = [[0, 60, 10, 60, 10, 70, 0, 70]], [[10, 10, 20, 10, 20, 30, 10, 30]]
    drawn = [(n, "chin", TOP) for n in (1, 2)] + [(1, "melasma", corner), (2, "melasma", over)]
    names = ["a.jpg", "b.jpg"]
    data, _ = brought_in(read_export(coco_file(names, drawn)), site(*names))
    found = check_dataset(data)
    assert sum(found.pigment.values()) == 1
    (remark,) = [one for one in found.remarks if "pigment" in one]
    assert remark.startswith("photos/a.jpg: pigment of 100 px lies off the labelled skin and counts nowhere")
    assert found.problems == ()


def test_splits_that_are_empty_are_said_with_what_is_lost(site, coco_file, brought_in):
    export = read_export(coco_file(["a.jpg"], [(1, "chin", TOP)]))
    told = check_dataset(brought_in(export, site("a.jpg"))[0]).remarks
    assert [line.partition(".")[0] for line in told] == [
        "The split validation is empty: nobody looks whether a training gets better",
        "The split test is empty: nobody can tell what models are worth on others",
    ]
    names = ["a.jpg", "b.jpg", "c.jpg"]
    three = read_export(coco_file(names, [(n, "chin", TOP) for n in (1, 2, 3)]))
    assert check_dataset(brought_in(three, site(*names), out="three")[0]).remarks == ()


def test_regions_that_lie_where_the_face_has_none_are_said(tmp_path, atlas, placed, plain_skin):
    """Annotations of two photos exchanged, or one region over the whole picture: no side is swapped."""
    here, there = placed(128, 115, 60, 10), placed(190, 60, 40, -20)
    own, others = (
        Alignment(atlas, points).to_photo(atlas.labels, (0, 0, 256, 256), nearest=True).astype(np.uint8)
        for points in (here, there)
    )
    for name, codes in (("own", own), ("others", others), ("whole", np.where(own > 1, own, 1))):
        write_grey(tmp_path / f"labels/{name}.png", codes.astype(np.uint8))
        (tmp_path / "photos").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"photos/{name}.png"), plain_skin(256, 256)[..., ::-1])
    entries = tuple(
        Entry(f"photos/{name}.png", f"labels/{name}.png", "", name, split=split)
        for name, split in zip(("own", "others", "whole"), SPLITS, strict=True)
    )
    told = check_dataset(Dataset(tmp_path, entries, {entry.photo: here for entry in entries})).remarks
    assert [line.partition(": ")[0] for line in told] == ["photos/others.png", "photos/whole.png"]
    assert "of its forehead" in told[0] and "of its chin" in told[0]
    assert told[1].count("of its") == 1 and "of its forehead lies where the face has none." in told[1]


def test_tones_follow_the_typology_angle():
    found = []
    for colour in ((235, 205, 185), (195, 150, 120), (180, 132, 102), (110, 75, 55)):
        photo = Photo.from_srgb(np.full((*SIZE, 3), colour, np.uint8))
        found.append(tone_of_photo(photo, np.ones(SIZE, np.uint8), None))
    assert found == [name for name, _ in TONES]


def test_one_class_may_be_drawn_in_many_pieces(site, brought_in):
    def row(number):
        def draw(size):
            mask = np.zeros(size, bool)
            mask[number] = True
            return mask

        return draw

    shapes = tuple(Shape("chin", f"shape {n}", row(n)) for n in range(0, 40, 2))
    photos = (LabelledPhoto("a.jpg", SIZE, shapes),)
    data, _ = brought_in(Export("test", labels_of(photos), photos), site("a.jpg"))
    labels, _ = layers_of(data)
    assert (labels == 4).sum() == 20 * 96

import zipfile

import numpy as np
import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels import source
from masi_vision.labels.cvat import read_cvat
from masi_vision.labels.source import read_export

SIZE = (48, 64)
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <job>
      <id>7</id>
      <size>1</size>
      <mode>annotation</mode>
      <labels>
        <label><name>forehead</name><color>#32b7fa</color><type>any</type><attributes></attributes></label>
        <label><name>melasma</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
      </labels>
    </job>
    <dumped>2024-05-02 09:11:35.150000+00:00</dumped>
  </meta>
"""


def annotations(shapes, head=HEAD):
    return (
        f'{head}  <image id="0" name="P01/V1/front.jpg" width="64" height="48">\n{shapes}\n  </image>\n'
        "</annotations>\n"
    )


def only(shapes):
    (photo,) = read_cvat(annotations(shapes).encode()).photos
    return photo


def test_a_polygon_a_box_and_a_mask_are_read():
    photo = only(
        '<polygon label="forehead" source="manual" occluded="0"'
        ' points="2.00,2.00;12.00,2.00;12.00,8.00;2.00,8.00" z_order="0"></polygon>'
        '<box label="forehead" source="manual" occluded="0" xtl="20.00" ytl="10.00" xbr="30.00" ybr="14.00"'
        ' z_order="0"></box>'
        '<mask label="melasma" source="manual" occluded="0" rle="1, 2, 3, 1, 2" left="5" top="6" width="3"'
        ' height="3" z_order="0"></mask>'
    )
    assert photo.file == "P01/V1/front.jpg"
    assert photo.size == SIZE
    polygon, box, mask = (shape.draw(SIZE) for shape in photo.shapes)
    assert polygon.sum() == 60
    assert box.sum() == 40
    assert mask[6:9, 5:8].tolist() == [[False, True, True], [False, False, False], [True, False, False]]


def test_the_higher_shape_lies_on_top():
    box = '<box label="{}" occluded="0" xtl="2" ytl="2" xbr="9" ybr="9" z_order="{}"></box>'
    photo = only(box.format("upper", 10) + box.format("lower", -1) + box.format("middle", 2))
    assert [shape.label for shape in photo.shapes] == ["lower", "middle", "upper"]


def test_a_turned_box_and_an_ellipse_are_read():
    photo = only(
        '<box label="a" xtl="20" ytl="20" xbr="40" ybr="24" rotation="90.00" z_order="0"></box>'
        '<ellipse label="a" cx="30" cy="24" rx="20" ry="5" z_order="0"></ellipse>'
    )
    box, oval = (shape.draw(SIZE) for shape in photo.shapes)
    assert box[13:31, 29:31].all()
    assert not box[22, 21]
    assert oval.sum() == pytest.approx(np.pi * 100, rel=0.03)


def test_classes_that_were_never_drawn_are_listed():
    export = read_cvat(annotations("").encode())
    assert export.classes == {"forehead", "melasma"}


def test_a_line_is_no_region():
    photo = only('<polyline label="forehead" points="1,1;5,5" z_order="0"></polyline>')
    assert photo.problem == "holds a polyline, which has no area"


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ('<polygon label="a" points="1,1;5,5"></polygon>', "fewer than three"),
        ('<polygon label="a" points="1;5,5;7,7"></polygon>', "no pair of numbers"),
        ('<polygon label="a"></polygon>', "fewer than three"),
        ('<box label="a" xtl="x" ytl="2" xbr="9" ybr="9"></box>', "no number"),
        ('<box label="a" xtl="nan" ytl="2" xbr="9" ybr="9"></box>', "no number"),
        (
            '<mask label="a" rle="1,2" left="1" top="1" width="3" height="3"></mask>',
            "runs of 3 pixels",
        ),
        ('<mask label="a" rle="9" left="1" top="1" width="3" height="3"></mask>', "no pixel"),
    ],
)
def test_a_shape_that_is_none_is_told(shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        only(shape).shapes[0].draw(SIZE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(encoding):
    bomb = HEAD.replace("<annotations>", '<!DOCTYPE a [<!ENTITY b "bbbb">]>\n<annotations>')
    text = annotations("&b;", bomb).replace('encoding="utf-8"', f'encoding="{encoding}"')
    with pytest.raises(DatasetError, match="declares a document type"):
        read_cvat(text.encode(encoding))


def test_a_video_is_refused():
    with pytest.raises(DatasetError, match=r'tracks of a video. .* Export as "CVAT for images 1.1"'):
        read_cvat(b'<annotations><track id="0" label="a"></track></annotations>')
    with pytest.raises(DatasetError, match="holds <html>"):
        read_cvat(b"<html></html>")
    with pytest.raises(DatasetError, match="damaged"):
        read_cvat(b"<annotations><image>")


@pytest.fixture
def zipped(tmp_path):
    def write(**files):
        file = tmp_path / "task.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
        return file

    return write


def test_the_zip_that_cvat_exports_is_read(zipped):
    file = zipped(annotations_dot_xml=annotations(""), images__front_dot_jpg=b"\xff\xd8")
    assert read_export(file).kind == "CVAT"


def test_a_zip_that_unpacks_to_too_much_is_refused(zipped, monkeypatch):
    monkeypatch.setattr(source, "MOST_BYTES", 1000)
    file = zipped(annotations_dot_xml=annotations("") + " " * 100_000)
    assert file.stat().st_size < 1000
    with pytest.raises(DatasetError, match=r"annotations.xml has more than .* MiB"):
        read_export(file)


def test_a_zip_without_annotations_or_damaged_is_refused(zipped, tmp_path):
    with pytest.raises(DatasetError, match="holds 0 files of annotations"):
        read_export(zipped(front_dot_jpg=b"\xff\xd8"))
    with pytest.raises(DatasetError, match="holds 2 files of annotations"):
        read_export(zipped(a_dot_xml=b"<a/>", b_dot_xml=b"<a/>"))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        read_export(damaged)

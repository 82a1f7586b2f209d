import pytest

from masi_vision.errors import DatasetError
from masi_vision.labels.export import LabelledPhoto
from masi_vision.labels.people import people_by_folder, people_by_table
from masi_vision.labels.photo_folder import NoSuchPhotoError, PhotoFolder, open_photos, told_path

FILES = (
    "P01/V1/front.jpg",
    "P01/V1/left.jpg",
    "P02/V1/front.jpg",
    "lone.jpg",
    "a b/mein Foto (1).jpg",
    "front.jpg",
)


@pytest.fixture
def photos(tmp_path, settings):
    return PhotoFolder(tmp_path, FILES, settings.views)


@pytest.mark.parametrize(
    ("told", "file"),
    [
        ("P01/V1/front.jpg", "P01/V1/front.jpg"),
        ("images/P01/V1/front.jpg", "P01/V1/front.jpg"),
        ("C:\\study\\P02\\V1\\front.jpg", "P02/V1/front.jpg"),
        ("../../photos/lone.jpg", "lone.jpg"),
        ("front.jpg", "front.jpg"),
        ("left.jpg", "P01/V1/left.jpg"),
        ("/data/upload/12/0a1b2c3d-lone.jpg", "lone.jpg"),
        ("0a1b2c3d-lone.jpg", "lone.jpg"),
        ("/data/upload/12/0a1b2c3d-mein_Foto_1.jpg", "a b/mein Foto (1).jpg"),
        ("/data/local-files/?d=photos/a%20b/mein%20Foto%20%281%29.jpg", "a b/mein Foto (1).jpg"),
        ("http://localhost:8080/data/local-files/?d=photos/P02/V1/front.jpg", "P02/V1/front.jpg"),
        ("s3://bucket/study/P02/V1/front.jpg", "P02/V1/front.jpg"),
        ("https://host/lone.jpg?token=abc", "lone.jpg"),
    ],
)
def test_a_photo_is_found_by_what_a_tool_calls_it(photos, told, file):
    assert photos.named(told) == file


def test_the_folder_of_uploads_of_label_studio_itself_may_be_named(tmp_path, settings):
    photos = PhotoFolder(tmp_path, ("0a1b2c30-IMG_0.jpg", "0a1b2c31-IMG_1.jpg"), settings.views)
    assert photos.named("/data/upload/3/0a1b2c30-IMG_0.jpg") == "0a1b2c30-IMG_0.jpg"


def test_a_photo_that_is_not_there_or_one_of_several_is_told(tmp_path, settings):
    photos = PhotoFolder(tmp_path, FILES[:3], settings.views)
    with pytest.raises(NoSuchPhotoError, match=r"may be any of P01/V1/front\.jpg, P02/V1/front\.jpg"):
        photos.named("front.jpg")
    with pytest.raises(NoSuchPhotoError, match="is not below the folder of photos"):
        photos.named("../../../etc/passwd")


@pytest.mark.parametrize("told", ["P03/V1/left.jpg", "export/P03/V1/left.jpg", "P03/V1/front.jpg"])
def test_a_photo_of_a_patient_who_is_not_there_is_not_taken_from_another(photos, told):
    with pytest.raises(NoSuchPhotoError, match="may be another patient's"):
        photos.named(told)


def test_nor_where_patients_are_numbers(tmp_path, settings):
    photos = PhotoFolder(tmp_path, ("002/V1/front.jpg",), settings.views)
    assert photos.named("/data/upload/7/0a1b2c3d-front.jpg") == "002/V1/front.jpg"
    for told in ("001/V1/front.jpg", "images/7/V1/front.jpg"):
        with pytest.raises(NoSuchPhotoError, match="may be another patient's"):
            photos.named(told)


@pytest.mark.parametrize(
    ("told", "file"),
    [
        ("P01/V1/left", "P01/V1/left.jpg"),
        ("P01_V1_left", "P01/V1/left.jpg"),
        ("P02_V1_front", "P02/V1/front.jpg"),
        ("lone", "lone.jpg"),
        ("lone_front", "lone.jpg"),
    ],
)
def test_a_mask_finds_its_photo_by_our_own_names(photos, told, file):
    assert photos.find(LabelledPhoto(told, None, (), by_stem=True)) == file


def test_letters_that_are_written_otherwise_are_the_same(tmp_path, settings):
    photos = PhotoFolder(tmp_path, ("Mu\u0308ller.jpg",), settings.views)
    assert photos.named("M\u00fcller.jpg") == "Mu\u0308ller.jpg"


def test_a_path_never_leaves_the_folder():
    assert told_path("../../../etc/passwd") == "etc/passwd"
    assert told_path("/data/local-files/?d=%2e%2e/%2e%2e/secret.jpg") == "secret.jpg"


def test_a_folder_without_photos_is_refused(tmp_path, settings):
    with pytest.raises(DatasetError, match="holds no photo"):
        open_photos(tmp_path, settings.views)
    with pytest.raises(DatasetError, match="is no folder"):
        open_photos(tmp_path / "nowhere", settings.views)


def test_hidden_photos_are_passed_over(tmp_path, settings):
    for name in ("a.jpg", ".thumbs/a.jpg", "._a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert open_photos(tmp_path, settings.views).files == ("a.jpg",)


def test_patient_visit_and_view_are_told_by_the_folders(photos):
    people = people_by_folder(FILES[:2], photos, each_is_a_patient=False).entries
    left = people["P01/V1/left.jpg"]
    assert (left.patient, left.visit, left.view) == ("P01", "V1", "left")


def test_a_patient_within_another_s_folder_is_refused(tmp_path, settings):
    files = ("P02/V1/front.jpg", "P02/V2/edited/front.jpg", "P03/V1/front.jpg")
    photos = PhotoFolder(tmp_path, files, settings.views)
    with pytest.raises(DatasetError, match=r"the folders of patients P02 and P02/V2, one within the other"):
        people_by_folder(files, photos, each_is_a_patient=False)
    people_by_folder(files[::2], photos, each_is_a_patient=False)


def test_a_photo_of_nobody_is_refused_unless_each_is_a_patient(photos):
    with pytest.raises(DatasetError, match=r"1 photos: lone.jpg. .* --table"):
        people_by_folder(FILES[:4], photos, each_is_a_patient=False)
    people = people_by_folder(FILES[:4], photos, each_is_a_patient=True).entries
    assert people["lone.jpg"].patient == "lone"
    assert people["P01/V1/left.jpg"].patient == "P01"


def write(tmp_path, *lines):
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


def test_a_table_says_whose_photo_it_is(tmp_path, photos):
    table = write(
        tmp_path,
        "\ufeffPhoto,Patient,visit,view,site,split",
        "P01/V1/front.jpg,A,1,,Graz,train",
        "left.jpg,A,1,LEFT,Graz,train",
        "lone.jpg,B,,,,",
    )
    entries = people_by_table(table, photos).entries
    assert entries["P01/V1/front.jpg"].site == "Graz"
    assert entries["P01/V1/left.jpg"].view == "left"
    assert (entries["lone.jpg"].split, entries["lone.jpg"].view) == ("", "front")


def test_every_row_of_a_table_that_does_not_fit_is_named(tmp_path, photos):
    table = write(
        tmp_path,
        "photo,patient,view,split",
        "gone.jpg,A,,",
        "lone.jpg,,,",
        "left.jpg,A,above,",
        "front.jpg,A,,maybe",
        "P02/V1/front.jpg,A,,",
        "P02/V1/front.jpg,B,,",
    )
    with pytest.raises(DatasetError) as caught:
        people_by_table(table, photos)
    for part in ("line 2", "line 3", "no patient", "'above'", "'maybe'", "stands in two rows"):
        assert part in str(caught.value)


def test_a_comma_in_a_name_does_not_make_two_people_one(tmp_path, photos):
    table = write(tmp_path, "photo,patient,site", "lone.jpg,Doe, Jane,Bonn", "left.jpg,Doe, John,Bonn")
    with pytest.raises(DatasetError, match="line 2, has 4 cells for 3 columns"):
        people_by_table(table, photos)
    quoted = write(tmp_path, "photo,patient,site", 'lone.jpg,"Doe, Jane",Bonn,,', 'left.jpg,"Doe, John",Bonn')
    entries = people_by_table(quoted, photos).entries
    assert entries["lone.jpg"].patient == "Doe, Jane"


def test_a_patient_in_two_splits_is_refused(tmp_path, photos):
    table = write(tmp_path, "photo,patient,split", "lone.jpg,A,train", "left.jpg,A,test")
    with pytest.raises(DatasetError, match="A in test and train"):
        people_by_table(table, photos)


def test_a_table_without_its_columns_is_refused(tmp_path, photos):
    with pytest.raises(DatasetError, match="no column patient; it has photo"):
        people_by_table(write(tmp_path, "photo", "lone.jpg"), photos)
    with pytest.raises(DatasetError, match="cannot be read"):
        people_by_table(tmp_path / "none.csv", photos)

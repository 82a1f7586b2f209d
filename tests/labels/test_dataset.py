from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.errors import DatasetError
from masi_vision.labels.dataset import (
    SPLITS,
    Dataset,
    Entry,
    balance,
    read_dataset,
    refuse_shared_patients,
    split_by_patient,
    write_dataset,
    write_grey,
)

SIZE = (72, 96)
PATIENTS = st.lists(st.sampled_from("ABCDEFGHIJKL"), min_size=1, max_size=30)


def entries_of(patients):
    return [Entry(f"photos/{n}.jpg", "", "", patient) for n, patient in enumerate(patients)]


@given(PATIENTS, st.integers(0, 5))
def test_no_patient_stands_in_two_splits_and_none_is_empty(patients, seed):
    split = split_by_patient(entries_of(patients), seed=seed)
    places = {entry.patient: set() for entry in split}
    for entry in split:
        places[entry.patient].add(entry.split)
    assert all(len(found) == 1 for found in places.values())
    if len(places) >= 3:
        assert {entry.split for entry in split} == set(SPLITS)


@given(st.integers(0, 20))
def test_who_may_be_one_person_is_drawn_into_one_split(seed):
    alike = ["P01", "P 1", "P-1"]  # the first and the last by way of the second alone
    split = split_by_patient(entries_of([*"ABCDEFGH", *alike]), seed=seed)
    assert len({entry.split for entry in split if entry.patient in alike}) == 1
    refuse_shared_patients(split)


@given(PATIENTS)
def test_splits_that_are_given_stay(patients):
    entries = [
        replace(entry, split="test") if entry.patient < "E" else entry for entry in entries_of(patients)
    ]
    for before, after in zip(entries, split_by_patient(entries), strict=True):
        assert after.split == (before.split or after.split)
        assert after.split


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"patient": ""}, "must be named"),
        ({"view": "back"}, "view must be one of front, left, right, got 'back'"),
        ({"split": "exam"}, "split must be one of train, validation, test, got 'exam'"),
    ],
)
def test_an_entry_of_nobody_is_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(Entry("photos/a.jpg", "", "", "A"), **values)


@pytest.fixture
def dataset(tmp_path, site):
    """One photo with codes and pigment, written and read again."""
    folder = site("a.jpg").parent
    codes = np.zeros(SIZE, np.uint8)
    codes[:9] = 255
    codes[9:20] = 6
    write_grey(folder / "labels/a.png", codes)
    write_grey(folder / "pigment/a.png", (codes == 6).astype(np.uint8))
    entry = Entry("photos/a.jpg", "labels/a.png", "pigment/a.png", "A", site="Wien, 9", split="train")
    write_dataset(Dataset(folder, (entry,), {entry.photo: np.arange(1434, dtype=np.float32).reshape(478, 3)}))
    return read_dataset(folder)


def test_what_was_written_is_read(dataset):
    (entry,) = dataset.entries
    assert entry.site == "Wien, 9"
    assert dataset.landmarks[entry.photo].shape == (478, 3)
    assert dataset.labels(entry, SIZE)[10, 0] == 6
    pigment = dataset.pigment(entry, SIZE)
    assert pigment.lesion.sum() == 11 * 96
    assert pigment.density_od is None
    assert balance(dataset, lambda one: one.site) == {"Wien, 9": {"train": 1, "validation": 0, "test": 0}}


def test_pigment_of_16_bits_is_a_contrast(dataset):
    write_grey(dataset.folder / "pigment/a.png", np.full(SIZE, 2500, np.uint16))
    assert dataset.pigment(dataset.entries[0], SIZE).density_od == pytest.approx(0.25)


def test_pictures_that_do_not_fit_are_refused(dataset):
    (entry,) = dataset.entries
    with pytest.raises(DatasetError, match=r"is 96 x 72 px\. Expected 96 x 73"):
        dataset.labels(entry, (73, 96))
    write_grey(dataset.folder / "labels/a.png", np.full(SIZE, 8, np.uint8))
    with pytest.raises(DatasetError, match=r"holds the codes \[8\]"):
        dataset.labels(entry, SIZE)
    write_grey(dataset.folder / "labels/a.png", np.ones(SIZE, np.uint16))
    with pytest.raises(DatasetError, match="has 16 bits"):
        dataset.labels(entry, SIZE)
    write_grey(dataset.folder / "pigment/a.png", np.full(SIZE, 7, np.uint8))
    with pytest.raises(DatasetError, match=r"holds the values \[7\]"):
        dataset.pigment(entry, SIZE)
    (dataset.folder / "pigment/a.png").unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        dataset.pigment(entry, SIZE)


def test_every_row_that_does_not_fit_is_named(dataset):
    table = dataset.folder / "dataset.csv"
    rows = table.read_text().splitlines()
    more = ["photos/gone.jpg,,,B,,,,train", "photos/a.jpg,,,A,,,,train", "photos/a.jpg,,,A,,above,,train"]
    table.write_text("\n".join([*rows, *more]))
    with pytest.raises(DatasetError) as caught:
        read_dataset(dataset.folder)
    for part in ("photos/gone.jpg is missing", "photos/a.jpg stands in 2 rows", "line 5: view must be"):
        assert part in str(caught.value)


def test_a_folder_without_a_table_is_refused(tmp_path, dataset):
    with pytest.raises(DatasetError, match="Make one with masi labels import"):
        read_dataset(tmp_path / "nowhere")
    (dataset.folder / "dataset.csv").write_text("photo\na.jpg\n")
    with pytest.raises(DatasetError, match=r"dataset\.csv has no column patient, split; it has photo"):
        read_dataset(dataset.folder)
    (dataset.folder / "dataset.csv").write_text("photo,Labels,patient,split\na.jpg,a.png,A,test\n")
    with pytest.raises(DatasetError, match="has the column Labels"):  # else nothing would be labelled
        read_dataset(dataset.folder)


def test_a_patient_in_two_splits_is_refused(dataset):
    one = dataset.entries[0]
    with pytest.raises(DatasetError, match="A in test and train"):
        write_dataset(replace(dataset, entries=(one, replace(one, photo="b.jpg", split="test"))))


@pytest.mark.parametrize(("one", "other"), [("P01", "p01"), ("Jos\u00e9", "Jose\u0301")])
def test_a_patient_who_is_spelled_in_two_ways_is_refused(one, other):
    entries = [
        Entry(f"photos/{n}.png", "", "", patient=name, split=split)
        for n, (name, split) in enumerate([(one, "train"), (other, "test")])
    ]
    with pytest.raises(DatasetError, match="spelled alike"):
        refuse_shared_patients(entries)


@pytest.mark.parametrize(("one", "other"), [("7", "007"), ("P-1", "P_1")])
def test_patients_who_may_be_one_stand_in_one_split(one, other):
    first, second = (
        Entry(f"photos/{name}.png", "", "", patient=name, split="train") for name in (one, other)
    )
    refuse_shared_patients([first, second])
    with pytest.raises(DatasetError, match="In two splits stand patients whose names differ in zeros"):
        refuse_shared_patients([first, replace(second, split="test")])


def test_landmarks_that_are_none_are_refused(dataset):
    np.savez(dataset.folder / "landmarks.npz", **{"photos/a.jpg": np.ones((5, 3))})
    with pytest.raises(DatasetError, match=r"landmarks of shape \(5, 3\)"):
        read_dataset(dataset.folder)
    for value in (0.0, np.nan):
        np.savez(dataset.folder / "landmarks.npz", **{"photos/a.jpg": np.full((478, 3), value)})
        with pytest.raises(DatasetError, match=r"landmarks of photos/a\.jpg are no face"):
            read_dataset(dataset.folder)
    (dataset.folder / "landmarks.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"landmarks\.npz cannot be read"):
        read_dataset(dataset.folder)

"""What tells that a file at an address was written again, as the kinds of storage call it."""

from datetime import UTC, datetime

import pytest

from masi_vision.batch.address import _remote_mark, is_same_file

WRITTEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
ON_SUNDAY = "Sun, 01 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("facts", "mark"),
    [
        ({"ETag": '"9b2c"', "LastModified": WRITTEN, "StorageClass": "STANDARD"}, "b471a0c3e71376b6"),
        ({"ETag": '"9b2c"', "Last-Modified": ON_SUNDAY, "url": "https://h/a.jpg"}, "b471a0c3e71376b6"),
        ({"Last-Modified": ON_SUNDAY}, "456bb304eb5724c4"),
        ({"created": 1793534400.0, "mtime": 1793534460.0}, "4a9f91365796ebf0"),
        ({"modify": "20261101120000"}, "cde0c1532ff89769"),
    ],
    ids=["S3", "https with ETag", "https", "a disk", "FTP"],
)
def test_a_mark_is_what_earlier_versions_put_into_ledgers(facts, mark):
    assert _remote_mark({"size": 7} | facts) == mark


def test_a_file_that_was_written_again_later_than_it_was_created_is_another():
    before, after = (
        {"size": 7, "created": WRITTEN, "modified": WRITTEN.replace(day=day), "etag": f"{day}"}
        for day in (1, 2)
    )
    assert not is_same_file(_remote_mark(after), _remote_mark(before))
    alone = _remote_mark({"size": 7, "created": WRITTEN})
    assert is_same_file(alone, alone), "a storage that tells nothing else"


@pytest.mark.parametrize(
    ("modify", "is_time"),
    [("20261101120000.123", True), ("Nov 01 12:00", False), ("Nov 01 2024", False), ("20261101", False)],
)
def test_the_minute_or_day_of_a_listing_is_no_time_by_which_a_file_is_the_same(modify, is_time):
    mark = _remote_mark({"size": 7, "modify": modify})
    assert is_same_file(mark, mark) == is_time

"""The fixtures of `conftest_review`, whose people and reads the tests import by name."""

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra review")

from conftest_review import (  # noqa: F401
    coded,
    empty_database,
    engine,
    one_loop_for_all,
    order,
    passwords_that_cost_little,
    postgres,
    reading_of,
)

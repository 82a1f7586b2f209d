"""A coded set of made pictures, a database in each of its kinds, and people who sign in."""

import re
import shutil
from functools import cached_property

import numpy as np
import pytest

for needed in ("fastapi", "sqlalchemy", "alembic", "argon2", "httpx"):
    pytest.importorskip(needed, reason="needs the extra review")

from anyio.from_thread import start_blocking_portal  # noqa: E402
from named_photos import make_set, write_named_study  # noqa: E402
from postgres_server import CannotServeError, make_database, postgres_server  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from masi_vision.batch.study import visits_of  # noqa: E402
from masi_vision.blinding.coded_set import CodingPlan, read_order  # noqa: E402
from masi_vision.config import load_settings  # noqa: E402
from masi_vision.review.accounts import add_account  # noqa: E402
from masi_vision.review.app import create_app  # noqa: E402
from masi_vision.review.database import open_database, put_away, writing  # noqa: E402
from masi_vision.review.lists import give_list  # noqa: E402
from masi_vision.review.pages import Reviewed  # noqa: E402
from masi_vision.review.protocol import load_reading_protocol  # noqa: E402
from masi_vision.review.reading import prepare  # noqa: E402
from masi_vision.scale import MASI_REGIONS  # noqa: E402

PASSWORD = "a password of mine"
PEOPLE = {
    "anna": "reader",
    "ben": "reader",
    "cora": "coordinator",
    "stat": "statistician",
    "adam": "adjudicator",
}


@pytest.fixture(scope="session")
def coded(tmp_path_factory):
    """Three patients, two visits; their names are planted in every field."""
    folder = tmp_path_factory.mktemp("reading")
    picture = np.random.default_rng(0).integers(30, 230, (80, 72, 3), dtype=np.uint8)
    planted = write_named_study(
        folder / "study",
        ["Alvarez-0417", "Brandt-0922", "Celik-1130"],
        ["visit-1-2026", "visit-2-2026"],
        picture,
    )
    visits = visits_of(str(folder / "study"), load_settings().views)
    make_set(visits, folder / "set", CodingPlan(("anna", "ben")))
    return folder / "set", planted


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of our own."""
    try:
        with postgres_server() as server:
            yield server
    except CannotServeError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def passwords_that_cost_little(request, monkeypatch):
    """Dozens of people sign in; one test signs in at the full cost."""
    if "full_cost" not in request.keywords:
        monkeypatch.setattr("masi_vision.review.accounts._hasher", cheap_hasher)
        monkeypatch.setattr("masi_vision.review.accounts._HASH_OF_NOBODY", cheap_hasher().hash(PASSWORD))


def cheap_hasher():
    """What hashes a password in a millisecond."""
    from argon2 import PasswordHasher, profiles

    return PasswordHasher.from_parameters(profiles.CHEAPEST)


both = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
"""Of a test that is run on both kinds of database."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An SQLite file with all tables and nothing in them: made once, copied by each test that wants one."""
    file = tmp_path_factory.mktemp("empty") / "reads.db"
    put_away(open_database(str(file)))
    return file


@pytest.fixture
def engine(request, tmp_path):
    """An empty database."""
    if getattr(request, "param", "sqlite") == "sqlite":
        shutil.copy(request.getfixturevalue("empty_database"), tmp_path / "reads.db")
        made = open_database(str(tmp_path / "reads.db"))
    else:
        server = request.getfixturevalue("postgres")
        name = re.sub(r"\W", "_", tmp_path.name).lower()[-40:]
        made = open_database(make_database(server, f"r_{name}"))
    yield made
    made.dispose()


def protocol_with(**changes):
    """The shipped protocol without waiting, and with other values."""
    shipped = load_reading_protocol()
    changes = {"days_between_parts": 0.0} | changes
    return shipped.model_copy(update=changes)


@pytest.fixture
def reading_of(engine, coded):
    """Make a reading: the application with everybody's account."""

    def made(scores=None, **changes):
        protocol = protocol_with(**changes)
        with writing(engine) as session:
            prepare(session, coded[0], protocol)
            for name, role in PEOPLE.items():
                add_account(session, name, role, PASSWORD, list_name=name if role == "reader" else "")
                if role == "reader":
                    give_list(session, name, coded[0], protocol)
        return create_app(Reviewed(engine, coded[0], protocol, scores or {}))

    return made


@pytest.fixture(scope="session", autouse=True)
def one_loop_for_all():
    """The test client starts a thread and an event loop for every request that finds none."""
    with start_blocking_portal() as portal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Person, "portal", portal)
        yield


class Person:
    """Someone at a browser."""

    portal = None

    def __init__(self, app, name, password=PASSWORD):
        self.browser = TestClient(app, follow_redirects=False)
        self.browser.portal = self.portal
        self.signed_in = self.browser.post("/sign-in", data={"name": name, "password": password})
        self.reads = {}

    def see(self, path):
        return self.browser.get(path, headers={"accept": "text/html"})

    @cached_property
    def csrf(self):
        """One for as long as somebody is signed in."""
        return re.search(r'name="csrf" value="([^"]+)"', self.see("/").text).group(1)

    @property
    def next_code(self):
        found = re.search(r'id="next" href="/units/(\w+)"', self.see("/").text)
        return found and found.group(1)

    def _send(self, method, path, values):
        return self.browser.request(method, path, json=values, headers={"X-CSRF-Token": self.csrf})

    def read_of(self, code):
        """Which read of a unit is open, as its page says; what was open before where none is."""
        found = re.search(r'"read": "([^"]+)"', self.see(f"/units/{code}").text)
        if found:
            self.reads[code] = found.group(1)
        return self.reads.get(code, "blind-1")

    def draft(self, code, reading, turn=None, read=None):
        seen = re.search(r'"turn": (\d+)', self.see(f"/units/{code}").text)
        turn = turn or 1 + int(seen.group(1) if seen else 0)
        sent = {"turn": turn, "read": read or self.read_of(code)}
        return self._send("PUT", f"/units/{code}/draft", {**reading, **sent})

    def lock(self, code, reading, password=PASSWORD, read=None):
        sent = {"password": password, "read": read or self.read_of(code)}
        return self._send("POST", f"/units/{code}/lock", {**reading, **sent})

    def choose(self, old, new, again=None, unit=""):
        """Another password of one's own; what the page answers."""
        csrf = re.search(r'name="csrf" value="([^"]+)"', self.see("/password").text).group(1)
        form = {"csrf": csrf, "old": old, "new": new, "again": new if again is None else again, "unit": unit}
        self.__dict__.pop("csrf", None)  # the session of before ends
        return self.browser.post("/password", data=form)

    def correct(self, code, reason="took the left for the right"):
        form = {"csrf": self.csrf, "reason": reason}
        return self.browser.post(f"/units/{code}/correction", data=form)


def graded(area=2, darkness=3, **more):
    """A read with the same grades in every region."""
    grades = {region: {"area": area, "darkness": darkness} for region in MASI_REGIONS}
    return {"grades": grades, "ungradable": "", "comment": "", **more}


@pytest.fixture
def order(coded):
    return lambda name: read_order(coded[0], name)

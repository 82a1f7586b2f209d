"""Made requests against every route: none may fail inside, none may be let in unasked."""

import json
import re
from urllib.parse import quote

import pytest
from conftest_review import Person, both, graded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

OPEN_TO_ALL = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/language")}
OFTEN = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

odd = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["..", "../../etc/passwd", "%2e%2e%2f", "front", "0", "-1", "\x00", "' OR 1=1 --", "é中"]
    ),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), odd),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd, inner, max_size=4)),
    max_leaves=12,
)
near_a_read = st.fixed_dictionaries(
    {},
    optional={
        "grades": st.one_of(
            anything,
            st.dictionaries(
                st.sampled_from(["forehead", "chin", "left_malar", "right_malar", "nose"]),
                st.dictionaries(st.sampled_from(["area", "darkness"]), anything, max_size=2),
                max_size=4,
            ),
        ),
        "ungradable": anything,
        "comment": anything,
        "turn": st.one_of(st.integers(), anything),
        "password": anything,
        "read": st.one_of(st.sampled_from(["blind-1", "blind-2"]), anything),
    },
)
body = st.one_of(
    st.binary(max_size=60),
    st.one_of(anything, near_a_read).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["name", "password", "reason", "csrf"]), odd, max_size=4),
)


def routes_of(app):
    """(method, path with its parts in braces)."""
    return sorted(
        (method, route.path)
        for route in app.routes
        if hasattr(route, "methods")
        for method in route.methods - {"HEAD"}
    )


def asked(browser, method, path, sent, headers):
    if isinstance(sent, dict):
        return browser.request(method, path, data=sent, headers=headers)
    return browser.request(method, path, content=sent, headers={"content-type": "application/json"} | headers)


def filled(path, parts, code):
    """A path with its parts: the code of a real unit as often as not."""
    given_parts = iter(parts)

    def part(_found):
        one = next(given_parts)
        return code if one is None else quote(one, safe="%") or "x"

    return re.sub(r"\{\w+\}", part, path)


@pytest.fixture
def app(reading_of):
    return reading_of()


def test_there_are_routes_to_try(app):
    assert len(routes_of(app)) > 12


@OFTEN
@given(data=st.data())
def test_nobody_is_let_in_without_a_sign_in(app, data):
    method, path = data.draw(st.sampled_from(routes_of(app)))
    parts = data.draw(st.lists(st.one_of(st.none(), odd), min_size=2, max_size=2))
    browser = TestClient(app, follow_redirects=False, raise_server_exceptions=True)
    browser.portal = Person.portal
    answer = asked(browser, method, filled(path, parts, "AAAAAAA"), data.draw(body), {})
    assert answer.status_code < 500
    if (method, path) not in OPEN_TO_ALL:
        assert answer.status_code in (401, 404, 405), (method, path, answer.status_code)


@both
@pytest.mark.parametrize("name", ["anna", "adam", "cora", "stat"])
def test_no_request_of_somebody_signed_in_fails_inside(app, name):
    person = Person(app, name)
    csrf = person.csrf
    routes = [one for one in routes_of(app) if one != ("POST", "/sign-out")]
    code = Person(app, "anna").next_code

    @OFTEN
    @given(data=st.data())
    def tried(data):
        method, path = data.draw(st.sampled_from(routes))
        parts = data.draw(st.lists(st.one_of(st.none(), odd), min_size=2, max_size=2))
        answer = asked(
            person.browser, method, filled(path, parts, code), data.draw(body), {"X-CSRF-Token": csrf}
        )
        assert answer.status_code < 500, (method, path, answer.text)
        assert "Traceback" not in answer.text

    tried()


def test_after_all_of_them_a_read_is_what_was_locked(app):
    """Nothing that is not a read comes into the table."""
    person = Person(app, "anna")
    code = person.next_code
    for wrong in (graded(area=7), graded(darkness=-1), graded(area="2"), graded(area=2.5), {"grades": []}):
        assert person.draft(code, wrong).status_code in (409, 422)
        assert person.lock(code, wrong).status_code in (409, 422)
    assert person.lock(code, graded()).status_code == 200

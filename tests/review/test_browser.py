"""A reader at the page in a real browser, the server a process of its own (tests/shared/readers.py)."""

from importlib.util import find_spec

import pytest

for needed in ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "httpx"):
    pytest.importorskip(needed, reason="needs the extra review")

from readers import CHROMIUM, read_all, reading_of  # noqa: E402

if find_spec("playwright") is None or not CHROMIUM.exists():
    pytest.skip(f"needs playwright and {CHROMIUM}", allow_module_level=True)


@pytest.mark.full_cost
def test_a_reader_loses_no_grade_to_network_reload_or_a_killed_server(tmp_path):
    with reading_of(4, ["anna", "ben"]) as reading:
        outcome = read_all(reading, "anna", tmp_path)
    assert outcome.units == 4
    assert outcome.is_perfect, str(outcome)
    assert {file.stem for file in tmp_path.iterdir()} >= {"list", "unit", "narrow", "sign", "progress"}


def test_a_page_that_was_answered_before_the_last_grades_arrived_shows_them_all_the_same():
    """The draft of the page before overtakes the page that is loaded anew: found so by a scripted reader."""
    from playwright.sync_api import sync_playwright  # noqa: F401
    from readers import chromium, meant_for, press_grades, sign_in

    with reading_of(3, ["anna"]) as reading, chromium() as browser:
        page = browser.new_page()
        sign_in(page, reading, "anna")
        page.locator("#next:focus").wait_for()
        page.keyboard.press("Enter")
        page.locator("body[data-ready=yes]").wait_for()
        code = page.url.rsplit("/", 1)[-1]
        before = page.request.get(page.url).text()  # nothing is graded yet
        press_grades(page, meant_for(code))
        page.wait_for_function("() => Object.values(localStorage).every((one) => JSON.parse(one).sent)")
        page.route(page.url, lambda route: route.fulfill(body=before, content_type="text/html"))
        page.reload()
        page.locator("body[data-ready=yes]").wait_for()
        assert page.evaluate("read().grades") == meant_for(code)
        assert page.locator("#score").text_content() != "–"

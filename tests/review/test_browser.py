"""A reader at the page in a real browser, the server a process of its own (tests/shared/readers.py)."""

import re
from dataclasses import replace
from importlib.util import find_spec

import pytest

for needed in ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "httpx"):
    pytest.importorskip(needed, reason="needs the extra review")

from conftest_review import cheap_hasher  # noqa: E402
from readers import (  # noqa: E402
    CHROMIUM,
    PASSWORD,
    chromium,
    lock,
    look_at_every_view,
    meant_for,
    press_grades,
    read_all,
    reading_of,
    sign_in,
)

pytestmark = pytest.mark.long

if find_spec("playwright") is None or not CHROMIUM.exists():
    pytest.skip(f"needs playwright and {CHROMIUM}", allow_module_level=True)


ALL_SENT = "() => !localStorage.length"


@pytest.fixture(scope="module")
def opened():
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(opened):
    """Without a page, whatever the test before opened."""
    yield opened
    for context in opened.contexts:
        context.close()


@pytest.fixture(scope="module")
def served():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("masi_vision.review.accounts._hasher", cheap_hasher)
        with reading_of(3, [f"reader-{number}" for number in range(1, 48)]) as reading:
            yield reading


@pytest.fixture
def reading(served):
    """The server, and a reader who has read nothing: each test takes the next."""
    yield replace(served, readers=served.readers[:1])
    served.readers.pop(0)


def first_unit(page, reading):
    """Sign in as the test's own reader and open what comes first; its code."""
    sign_in(page, reading, reading.readers[0])
    page.locator("#next:focus").wait_for()
    page.keyboard.press("Enter")
    page.locator("body[data-ready=yes]").wait_for()
    return page.url.rsplit("/", 1)[-1]


def graded_unit(page, reading):
    """The same, and give it every grade; its code."""
    code = first_unit(page, reading)
    press_grades(page, meant_for(code))
    page.wait_for_function(ALL_SENT)
    return code


def grades_on(page):
    return page.evaluate("read().grades")


@pytest.mark.full_cost
def test_a_reader_loses_no_grade_to_network_reload_or_a_killed_server(browser, tmp_path):
    with reading_of(4, ["anna", "ben"]) as reading:
        outcome = read_all(browser, reading, "anna", tmp_path)
    assert outcome.units == 4
    assert outcome.is_perfect, str(outcome)
    assert {file.stem for file in tmp_path.iterdir()} >= {"list", "unit", "narrow", "sign", "progress"}


def test_a_page_that_was_answered_before_the_last_grades_arrived_shows_them_all_the_same(browser, reading):
    """The draft of the page before overtakes the page that is loaded anew: found so by a scripted reader."""
    page = browser.new_page()
    code = first_unit(page, reading)
    before = page.request.get(page.url).text()  # nothing is graded yet
    press_grades(page, meant_for(code))
    page.wait_for_function(ALL_SENT)
    page.route(page.url, lambda route: route.fulfill(body=before, content_type="text/html"))
    page.reload()
    page.locator("body[data-ready=yes]").wait_for()
    assert grades_on(page) == meant_for(code)
    page.wait_for_function("document.getElementById('score').textContent !== '–'")  # the answer brings it


def test_of_two_machines_at_one_unit_the_one_that_graded_last_is_kept(browser, reading):
    """Both count from the same turn; the second's grades are not dropped as told before."""
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page in pages:
        first_unit(page, reading)
    for page, grade in zip(pages, "14", strict=True):
        page.keyboard.press(grade)  # the area of the forehead
        page.wait_for_function(ALL_SENT)
    pages[0].evaluate("localStorage.clear()")
    pages[0].reload()
    pages[0].locator("body[data-ready=yes]").wait_for()
    assert grades_on(pages[0]) == grades_on(pages[1]) == {"forehead": {"area": 4}}


def test_grades_given_elsewhere_while_a_machine_was_away_are_not_written_over(browser, reading):
    away, here = (browser.new_context() for _ in range(2))
    first, second = away.new_page(), here.new_page()
    for page in (first, second):
        page.add_init_script("const now = Date.now; window.later = 0; Date.now = () => now() + window.later")
        first_unit(page, reading)
    away.set_offline(True)
    for grade in "12341":  # more changes than the other makes: their number decides nothing
        first.keyboard.press(grade)
    first.locator("#saved", has_text="Not saved yet").wait_for()
    for grade in "543":  # area and darkness of the forehead, and the area of the right cheek
        second.keyboard.press(grade)
    second.wait_for_function(ALL_SENT)
    first.evaluate("later = 60000")
    away.set_offline(False)
    first.wait_for_function(ALL_SENT, timeout=20_000)
    given_last = {"forehead": {"area": 5, "darkness": 4}, "right_malar": {"area": 3, "darkness": 4}}
    expected = given_last | {"left_malar": {"area": 1}}
    assert grades_on(first) == expected
    first.locator("#saved", has_text="another page").wait_for()
    second.reload()
    second.locator("body[data-ready=yes]").wait_for()
    assert grades_on(second) == expected


def test_a_window_that_was_open_before_lays_its_grade_over_those_of_the_other(browser, reading):
    context = browser.new_context()
    first = context.new_page()
    code = first_unit(first, reading)
    second = context.new_page()
    second.goto(first.url)
    second.locator("body[data-ready=yes]").wait_for()
    press_grades(first, meant_for(code))
    first.wait_for_function(ALL_SENT)
    chin = second.locator('.scale[data-region="chin"][data-scale="area"]')
    chin.locator("input").nth(6).check(force=True)
    second.wait_for_function(ALL_SENT)
    wanted = meant_for(code)
    wanted["chin"] = wanted["chin"] | {"area": 6}
    assert grades_on(second) == wanted


def test_arrows_move_and_grade_nothing_and_capital_letters_are_letters(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.keyboard.press("6")
    page.keyboard.press("4")
    for key in ("ArrowUp", "ArrowLeft", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.down("ArrowUp")
    for _ in range(6):
        page.keyboard.down("ArrowUp")  # held down: it comes again and again
    page.keyboard.up("ArrowUp")
    assert grades_on(page) == {"forehead": {"area": 6, "darkness": 4}}
    page.keyboard.press("U")
    assert page.locator("#ungradable:focus").count() == 1


def test_other_is_no_reason_without_a_comment(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.wait_for_function("() => looked.size")
    page.locator("#ungradable").select_option("other")
    page.locator("#lock").click()
    page.locator("#comment:focus").wait_for()
    page.keyboard.type("two people")
    page.locator("#lock").click()
    page.locator("#password:focus").wait_for()


def test_area_0_has_no_darkness_and_going_back_brings_it_again(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    area = page.locator('.scale[data-region="forehead"][data-scale="area"] input')
    for grade in "53":
        page.keyboard.press(grade)
    area.nth(0).check(force=True)
    assert grades_on(page) == {"forehead": {"area": 0}}
    area.nth(2).check(force=True)
    page.wait_for_function(ALL_SENT)
    page.reload()
    page.locator("body[data-ready=yes]").wait_for()
    assert grades_on(page) == {"forehead": {"area": 2, "darkness": 3}}


def test_every_region_takes_two_keys_also_one_without_pigment(browser, reading):
    """A second 0 was the area of the next region, and every grade after it one region further down."""
    page = browser.new_page()
    first_unit(page, reading)
    for grade in "00323200":
        page.keyboard.press(grade)
    both = {"area": 3, "darkness": 2}
    expected = {"forehead": {"area": 0}, "right_malar": both, "left_malar": both, "chin": {"area": 0}}
    assert grades_on(page) == expected
    assert page.evaluate("document.activeElement.id") == "lock"
    page.keyboard.press("4")
    assert "4 was not entered" in page.locator("#hint").text_content()


def test_a_key_that_is_no_grade_is_said_and_grades_nothing(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.keyboard.press("0")
    page.keyboard.press("3")
    assert "Area 0 has no other grade than 0" in page.locator("#hint").text_content()
    assert grades_on(page) == {"forehead": {"area": 0}}
    for grade in "035":
        page.keyboard.press(grade)
    assert "5 is no grade of this" in page.locator("#hint").text_content()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("2")
    assert grades_on(page) == {"forehead": {"area": 2}, "right_malar": {"area": 3}}
    assert not page.locator("#hint").text_content()


def test_a_key_after_a_click_grades_the_next_scale(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.locator('.scale[data-region="forehead"][data-scale="area"] label').nth(3).click()
    page.keyboard.press("2")
    assert grades_on(page) == {"forehead": {"area": 3, "darkness": 2}}


@pytest.mark.parametrize("size", [(1366, 640), (390, 844), (640, 400)])
def test_what_is_not_saved_is_seen_and_the_page_is_not_left_without_a_question(size, browser, reading):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    code = first_unit(page, reading)
    context.set_offline(True)
    page.keyboard.press("3")
    page.locator("#saved.unsaved", has_text="Not saved yet").wait_for()
    box = page.locator("#saved").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= size[1]
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    context.set_offline(False)
    page.route("**/draft", lambda route: route.abort())
    page.keyboard.press("l")  # what that says takes the place of what is not saved
    page.goto(f"{reading.url}/")
    assert asked == ["beforeunload"]
    assert code in page.locator("#unsent").text_content()


def test_what_is_signed_stands_beside_the_password(browser, reading):
    page = browser.new_page()
    code = graded_unit(page, reading)
    look_at_every_view(page)
    page.keyboard.press("l")
    page.locator("#password:focus").wait_for()
    text = page.locator("#sign").inner_text()
    assert code in text
    for region, given in zip(page.locator("#signing li").all(), meant_for(code).values(), strict=True):
        assert re.findall(r"\d", region.text_content()) == [str(grade) for grade in given.values()]


def test_a_glimpse_of_every_view_is_no_look(browser, reading):
    page = browser.new_page()
    graded_unit(page, reading)
    for _ in range(2 * page.evaluate("state.views.length")):
        page.keyboard.press("l")
    assert not page.locator("#sign").evaluate("one => one.open")


def test_two_windows_of_one_browser_share_what_the_network_does_not_take(browser, reading):
    context = browser.new_context()
    first = context.new_page()
    first_unit(first, reading)
    second = context.new_page()
    second.goto(first.url)
    second.locator("body[data-ready=yes]").wait_for()
    context.set_offline(True)
    first.keyboard.press("5")
    second.locator('.scale[data-region="chin"][data-scale="area"] input').nth(1).check(force=True)
    context.set_offline(False)
    first.wait_for_function(ALL_SENT, timeout=20_000)
    for page in (first, second):
        page.wait_for_function("() => read().grades.forehead?.area === 5 && read().grades.chin?.area === 1")


def test_a_unit_of_which_no_photo_came_is_not_signed(browser, reading):
    page = browser.new_page()
    page.route("**/photos/**", lambda route: route.abort())
    code = first_unit(page, reading)
    page.locator("#photo-failed").wait_for(state="visible")
    press_grades(page, meant_for(code))
    page.wait_for_function(ALL_SENT)
    page.locator("#lock").click()
    assert not page.locator("#sign").evaluate("one => one.open")
    assert page.locator("#retry:focus").count() == 1
    assert "No photo of this unit" in page.locator("#saved").text_content()
    page.unroute("**/photos/**")
    page.locator("#retry").click()
    page.locator("body[data-shown]").wait_for()
    assert page.locator("#photo-failed").is_hidden()
    page.locator("#lock").click()
    assert not page.locator("#sign").evaluate("one => one.open")
    assert "Look at this view first" in page.locator("#saved").text_content(), "the front alone was seen"
    look_at_every_view(page)
    page.locator("#lock").click()
    assert page.locator("#sign").evaluate("one => one.open")
    page.keyboard.press("Escape")
    page.route("**/photos/**", lambda route: route.abort())
    page.keyboard.press("v")
    page.locator("#photo-failed").wait_for(state="visible")
    assert page.locator("#viewer").is_hidden(), "the front is not shown as the side"


def test_no_score_stands_beside_grades_that_it_is_not_of(browser, reading):
    page = browser.new_page()
    code = first_unit(page, reading)
    grades = {region: {"area": 2, "darkness": 2} for region in meant_for(code)}
    press_grades(page, grades)
    page.locator("#score", has_text="4.0").wait_for()
    page.route("**/draft", lambda route: route.abort())
    page.locator("[name=forehead-area][value='6']").check(force=True)
    page.locator("#saved", has_text="Not saved yet").wait_for()
    assert page.locator("#score").text_content() == "–"
    page.unroute("**/draft")
    page.locator("#score", has_text="6.4").wait_for()
    page.route("**/draft", lambda route: route.fulfill(status=409, json={"error": "The reading is closed."}))
    page.locator("[name=chin-area][value='6']").check(force=True)
    page.locator("#saved", has_text="The reading is closed").wait_for()
    assert page.locator("#score").text_content() == "6.4"
    assert grades_on(page)["chin"]["area"] == 2, "what was refused is not on the screen any more"


def test_an_area_without_darkness_is_asked_about_once(browser, reading):
    page = browser.new_page()
    code = first_unit(page, reading)
    press_grades(page, {region: {"area": 6, "darkness": 0} for region in meant_for(code)})
    page.wait_for_function(ALL_SENT)
    look_at_every_view(page)
    page.keyboard.press("l")
    assert not page.locator("#sign").evaluate("one => one.open")
    assert "counts for nothing" in page.locator("#saved").text_content()
    page.keyboard.press("l")
    assert page.locator("#sign").evaluate("one => one.open")


def test_who_was_signed_out_comes_back_to_the_unit(browser, reading):
    page = browser.new_page()
    code = first_unit(page, reading)
    page.keyboard.press("5")
    page.wait_for_function(ALL_SENT)
    page.context.clear_cookies()
    page.keyboard.press("3")
    page.wait_for_url(f"**/sign-in?unit={code}")
    assert "What you entered is kept" in page.content()
    page.locator("[name=name]").fill(reading.readers[0])
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/units/{code}")
    page.wait_for_function(
        "() => read().grades.forehead?.area === 5 && read().grades.forehead?.darkness === 3"
    )


@pytest.mark.parametrize(("width", "height"), [(320, 640), (360, 740), (740, 360)])
def test_on_a_telephone_every_grade_is_in_sight(width, height, browser, reading):
    page = browser.new_page(viewport={"width": width, "height": height})
    first_unit(page, reading)
    edges = page.evaluate(
        "[...document.querySelectorAll('.scale label')].map((one) => one.getBoundingClientRect().right)"
    )
    assert max(edges) <= width
    stays = page.locator(".photo").evaluate("one => getComputedStyle(one).position") == "sticky"
    assert stays == (height > width), "held sideways it leaves no room for grades"


@pytest.mark.parametrize(("name", "path"), [("stat", "/audit"), ("cora", "/")])
def test_on_a_telephone_a_table_keeps_its_words_and_scrolls_by_itself(name, path, browser, reading):
    page = browser.new_page(viewport={"width": 400, "height": 800})
    sign_in(page, reading, name)
    page.goto(reading.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    who = page.locator("tbody td", has_text=re.compile("^(masi|reader-9)$")).first
    all_of = "const all = new Range(); all.selectNodeContents(one);"
    lines = f"one => {{ {all_of} return all.getClientRects().length }}"
    assert who.evaluate(lines) == 1, "one word, one line"


def test_a_page_of_a_session_before_is_opened_again_and_keeps_its_grades(browser, reading):
    context = browser.new_context()
    old, other = context.new_page(), context.new_page()
    code = first_unit(old, reading)
    first_unit(other, reading)  # signs in anew: the token that the first page holds is of no use any more
    with old.expect_navigation():
        old.keyboard.press("3")
    old.locator("body[data-ready=yes]").wait_for()
    old.wait_for_function(ALL_SENT)
    assert grades_on(old) == {"forehead": {"area": 3}}
    fresh = browser.new_context().new_page()
    assert first_unit(fresh, reading) == code
    assert grades_on(fresh) == {"forehead": {"area": 3}}


def test_a_locked_unit_shows_what_was_locked(browser, reading):
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(error))
    code = graded_unit(page, reading)
    lock(page)
    page.wait_for_url(lambda url: not url.endswith(code))
    page.goto(f"{reading.url}/units/{code}")
    page.locator("body[data-ready=yes]").wait_for()
    assert grades_on(page) == meant_for(code)
    assert page.locator("#score").text_content() != "–"
    page.keyboard.press("v")
    page.get_by_role("button", name="Larger").click()
    assert errors == []


def test_arrows_with_shift_select_in_a_comment(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.locator("#comment").fill("hello")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("getSelection().toString()") == "llo"


def test_enlarged_to_a_strip_no_view_counts_as_looked_at(browser, reading):
    """A window of 1280 x 800 at 400 per cent: the photo goes away while the grades are given."""
    page = browser.new_page(viewport={"width": 320, "height": 200})
    graded_unit(page, reading)
    page.wait_for_function("() => !inSight")
    page.keyboard.press("v")
    page.locator("body[data-shown]").wait_for()
    assert not page.evaluate("looked.has(state.views[1])")
    for _ in range(page.evaluate("state.views.length")):
        page.keyboard.press("l")
        page.wait_for_function("() => inSight && looked.has(document.body.dataset.shown)")
    page.keyboard.press("l")
    page.locator("#password:focus").wait_for()
    assert page.evaluate("place.clientHeight") >= 150


def test_enlarged_the_photo_stays_in_sight_while_the_last_region_is_graded(browser, reading):
    """A window of 1280 x 800 at 200 per cent."""
    width, height = 640, 400
    page = browser.new_page(viewport={"width": width, "height": height})
    first_unit(page, reading)
    page.locator("[name=chin-darkness]").first.focus()
    top, bottom = page.locator("#viewer").evaluate(
        "one => [one.getBoundingClientRect().top, one.getBoundingClientRect().bottom]"
    )
    assert 0 <= top < bottom <= height
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_view_that_was_above_the_screen_was_not_looked_at(browser, reading):
    page = browser.new_page(viewport={"width": 320, "height": 640})
    graded_unit(page, reading)
    page.wait_for_function("() => looked.size")
    page.evaluate("document.querySelector('.photo').style.position = 'static'")
    page.evaluate("document.querySelector('.grades').style.paddingBottom = '200vh'")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("() => !inSight")
    for _ in range(2):
        page.keyboard.press("v")
        page.locator("body[data-shown]").wait_for()
    assert page.evaluate("[...looked]") == ["front"]
    page.keyboard.press("l")
    assert "Look at this view first" in page.locator("#saved").text_content()
    page.wait_for_function("() => inSight && looked.size === 2")
    assert not page.locator("#sign").evaluate("one => one.open")


def test_a_held_key_signs_once_and_a_wrong_password_is_taken_out(browser, reading):
    page = browser.new_page()
    graded_unit(page, reading)
    look_at_every_view(page)
    page.keyboard.press("l")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/lock") else None)
    page.keyboard.type("not it")
    for _ in range(6):  # held: all but the first are repeats
        page.keyboard.down("Enter")
        page.wait_for_timeout(30)
    page.keyboard.up("Enter")
    page.locator("#refused", has_text="not yours").wait_for()
    page.locator("#password:focus").wait_for()
    assert page.locator("#password").input_value() == ""
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert len(sent) == 1
    assert page.locator("#signed").is_enabled()


def test_a_lock_without_an_answer_says_that_it_may_not_be_locked(browser, reading):
    page = browser.new_page()
    code = graded_unit(page, reading)
    look_at_every_view(page)
    page.route("**/lock", lambda route: route.abort())
    page.keyboard.press("l")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#refused", has_text="whether this unit is locked is not known").wait_for()
    page.unroute("**/lock")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith(code))


def test_a_photo_is_moved_by_keys_and_by_buttons(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.locator("body[data-shown]").wait_for()
    middle = "viewer.viewport.getCenter(false)"
    page.keyboard.press("+")
    page.keyboard.press("+")
    start = page.evaluate(middle)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    moved = page.evaluate(middle)
    assert moved["x"] > start["x"] and moved["y"] < start["y"]
    assert grades_on(page) == {}
    page.get_by_role("button", name="To the left").click()
    page.get_by_role("button", name="Downwards").click()
    again = page.evaluate(middle)
    assert again == pytest.approx(start)
    page.get_by_role("button", name="The whole photo").click()
    assert page.evaluate("viewer.viewport.getZoom(false) === viewer.viewport.getHomeZoom()")


def test_a_comment_tells_how_much_still_fits(browser, reading):
    page = browser.new_page()
    first_unit(page, reading)
    page.locator("#comment").fill("a" * 1950)
    assert page.locator(".other .room").text_content() == "50 more characters fit"
    page.locator("#comment").fill("short")
    assert page.locator(".other .room").text_content() == ""


def test_letters_on_their_way_to_a_chinese_word_are_no_comment(browser, reading):
    """Of each save a row stays in the trail, under the reader's name."""
    page = browser.new_page()
    first_unit(page, reading)
    saved = []
    page.on("request", lambda request: saved.append(request.post_data_json) if request.method == "PUT" else 0)
    page.locator("#comment").focus()
    typing = page.context.new_cdp_session(page)
    for letters in ("n", "ni", "nihao"):
        typing.send("Input.imeSetComposition", {"text": letters, "selectionStart": 1, "selectionEnd": 1})
    typing.send("Input.insertText", {"text": "你好"})
    page.wait_for_function(ALL_SENT)
    assert [one["comment"] for one in saved] == ["你好"]
    # The next word is in the making while the answer to a grade arrives.
    page.route("**/draft", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.keyboard.insert_text("们")
    typing.send("Input.imeSetComposition", {"text": "shi", "selectionStart": 3, "selectionEnd": 3})
    page.wait_for_timeout(700)
    assert page.locator("#comment").input_value() == "你好们shi"
    assert page.locator("#saved").text_content() == "Saved"


def test_without_keys_of_one_letter_none_locks_a_unit(browser, reading):
    page = browser.new_page()
    graded_unit(page, reading)
    look_at_every_view(page)
    page.locator("#letters").uncheck()
    page.reload()
    page.locator("body[data-ready=yes]").wait_for()
    look = "() => document.body.dataset.shown === 'front'"
    page.wait_for_function(look)
    for key in "vul":
        page.keyboard.press(key)
    assert page.evaluate("current") == 0
    assert not page.locator("#sign").evaluate("one => one.open")
    assert page.locator("#ungradable:focus").count() == 0


def test_whoever_hears_the_page_is_told_unit_view_and_dialog(browser, reading):
    page = browser.new_page()
    code = first_unit(page, reading)
    assert page.title() == f"{code} · Blinded reading"
    assert code in page.get_by_role("heading", level=1).text_content()
    assert page.locator("#viewer").get_attribute("aria-label") == "The photo of this unit: Front"
    page.keyboard.press("v")
    assert page.locator("#viewer").get_attribute("aria-label") == "The photo of this unit: Patient's right"
    assert page.locator("#sign").get_attribute("aria-label") == "Lock and sign"


def test_a_photo_on_its_way_says_so(browser, reading):
    page = browser.new_page()
    held = []
    page.route("**/photos/**", lambda route: held.append(route) if held is not None else route.continue_())
    first_unit(page, reading)
    assert page.locator("#photo-waits").is_visible()
    late, held = held, None
    for route in late:
        route.continue_()
    page.locator("body[data-shown]").wait_for()
    assert page.locator("#photo-waits").is_hidden()


def test_an_answer_waits_for_no_acknowledgement(served):
    """40 ms each, where head and body go as two packets and the socket waits in between."""
    import httpx

    with httpx.Client(base_url=served.url, trust_env=False) as client:
        took = [client.get("/sign-in").elapsed.total_seconds() for _ in range(20)]
    assert min(took[1:]) < 0.035

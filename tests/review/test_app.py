"""Reading as its people do it: lists, drafts, locks, corrections, and doors that stay shut."""

import csv
import html
import io
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event, Semaphore

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from conftest_review import PASSWORD, Person, both, graded
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError
from starlette.testclient import TestClient

from masi_vision.blinding.coded_set import SetContents
from masi_vision.errors import ReadingError
from masi_vision.review.accounts import add_account, is_password, set_password, switch
from masi_vision.review.altered import looked_through
from masi_vision.review.app import create_app
from masi_vision.review.audit import faults, server_clock_set_back, trail
from masi_vision.review.closing import close
from masi_vision.review.database import looking, using, writing
from masi_vision.review.lists import give_list
from masi_vision.review.pages import Reviewed
from masi_vision.review.protocol import load_reading_protocol
from masi_vision.review.reading import signature_hash
from masi_vision.review.software import SoftwareScore, software_scores
from masi_vision.review.tables import Draft, Entry, Head
from masi_vision.review.texts import texts
from masi_vision.scale import MASI_REGIONS


def read_all(person, reading):
    codes = []
    while (code := person.next_code) is not None:
        done = person.lock(code, reading)
        assert done.status_code == 200, done.text
        codes.append(code)
    return codes


REFUSED = {
    "status": "not_scored",
    "message": "The photo cannot be read.",
    "regions": {"chin": {"flag": "undecided;clipped;out_of_focus"}},  # of the others no photo was measured
}
SCORED = {"status": "scored", "mmasi": 17.3, "mmasi_low": 9.1, "mmasi_high": 24.0}
SCORED["regions"] = {
    name: {"flag": "region_hidden" if name == "nose" else ""} for name in (*MASI_REGIONS, "nose", "upper_lip")
}
"""Of a unit, as scores.json has it."""


def rows_of(text_):
    return list(csv.DictReader(io.StringIO(text_)))


@both
def test_a_reader_reads_the_own_list_in_the_own_order_to_its_end(reading_of, order, engine):
    app = reading_of()
    anna = Person(app, "anna")
    assert anna.signed_in.status_code == 303
    assert read_all(anna, graded()) == order("anna")
    assert "All units are locked" in anna.see("/").text
    rows = rows_of(Person(app, "stat").see("/reads.csv").text)
    of_anna = [row for row in rows if row["reader"] == "anna"]
    assert {row["mmasi"] for row in of_anna} == {"6.0"}  # (0.3 + 0.3 + 0.3 + 0.1) x 2 x 3
    assert all(row["locked_utc"] and row["signed_by"] == "anna" for row in of_anna)
    assert all(not row["locked_utc"] for row in rows if row["reader"] == "ben")
    with looking(engine) as session:
        assert looked_through(session)[1] == []


@both
def test_a_draft_is_saved_only_of_a_page_that_has_seen_the_save_before(reading_of):
    """A higher number counts for nothing: a page that was away has made many changes."""
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    told = anna.draft(code, graded(area=3)).json()
    assert (told["turn"], told["accepted"], told["mmasi"]) == (1, True, 9.0)
    for other in (1, 3, 50):
        told = anna.draft(code, graded(area=1), turn=other).json()
        assert (told["turn"], told["accepted"]) == (1, False)
        assert told["reading"]["grades"]["chin"]["area"] == 3, "the page learns what is saved"
        assert 0 <= told["saved_ms_ago"] < 60_000
    assert anna.draft(code, graded(area=3), turn=1).json()["accepted"], "sent again: the answer was lost"
    assert '"area": 3' in anna.see(f"/units/{code}").text
    assert anna.draft(code, graded(area=4)).json()["turn"] == 2


@both
def test_grades_that_are_not_those_saved_are_not_signed(reading_of):
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    anna.draft(code, graded(area=3))
    refused = anna.lock(code, graded(area=1))
    assert refused.status_code == 409
    assert "Other grades of this unit were saved than this page shows" in refused.json()["error"]
    assert anna.lock(code, graded(area=3)).status_code == 200


@both
def test_a_lock_sent_twice_is_one_lock(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    first, again = anna.lock(code, graded()), anna.lock(code, graded())
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    rows = rows_of(Person(app, "stat").see("/reads.csv").text)
    assert len([row for row in rows if row["code"] == code and row["reader"] == "anna"]) == 1


@both
def test_a_locked_read_is_corrected_by_another_entry_with_a_reason_and_in_no_other_way(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    anna.lock(code, graded())
    assert anna.lock(code, graded(area=5)).status_code == 409
    assert anna.draft(code, graded(area=5)).status_code == 409
    assert anna.correct(code, reason="  ").status_code == 409
    assert anna.correct(code).status_code == 303
    assert anna.draft(code, graded(area=1), read="blind-1").status_code == 409  # of a page from before
    assert anna.lock(code, graded(area=1), read="blind-1").status_code == 409
    anna.draft(code, graded(area=5))
    assert anna.lock(code, graded(area=5)).status_code == 200
    assert anna.lock(code, graded(area=2), read="blind-1").status_code == 200  # the first, sent once more
    rows = [row for row in rows_of(Person(app, "stat").see("/reads.csv").text) if row["code"] == code]
    of_anna = sorted((row for row in rows if row["reader"] == "anna"), key=lambda row: row["version"])
    assert [(row["version"], row["latest"], row["chin_area"]) for row in of_anna] == [
        ("1", "0", "2"),
        ("2", "1", "5"),
    ]
    assert of_anna[1]["reason"] == "took the left for the right"


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ({"grades": {}}, "Not graded yet: forehead area"),
        (graded(area=7), "Expected a whole number within its scale"),
        (graded(area=True), "Expected a whole number within its scale"),
        ({"grades": {"nose": {"area": 1}}}, "no other region"),
        ({"ungradable": "I do not like it"}, "is no reason"),
        ({"grades": {}, "colour": 1}, "no other keys"),
        (graded(comment="x" * 3000), "too long"),
        ({"grades": {"chin": {"area": 0, "darkness": 4}}}, "chin darkness is 4 where its area is 0"),
    ],
)
def test_a_read_that_does_not_fit_is_refused_with_a_sentence(reading_of, reading, said):
    anna = Person(reading_of(), "anna")
    refused = anna.lock(anna.next_code, reading)
    assert refused.status_code == 409
    assert said in refused.json()["error"]


def test_a_photo_that_was_replaced_while_the_server_runs_is_not_shown(reading_of, coded, tmp_path):
    """It would be graded, and signed, under the code of another."""
    app = reading_of()
    anna = Person(app, "anna")
    code, pages = anna.next_code, app.state.pages
    file, digest = pages.photos[code, "front"]
    assert anna.see(f"/units/{code}/photos/front").content == file.read_bytes()
    for other in (next(one for (of, _), (one, _) in pages.photos.items() if of != code), tmp_path / "gone"):
        pages.photos[code, "front"] = other, digest
        refused = anna.see(f"/units/{code}/photos/front")
        assert refused.status_code == 409
        assert "not the photo that was coded" in refused.text or "cannot be read" in refused.text
        assert code in refused.text
    anna.browser.post("/language")
    assert f"{code}（正面）的照片无法读取" in anna.see(f"/units/{code}/photos/front").text


def test_a_draft_of_before_with_a_darkness_beside_area_0_can_be_locked(reading_of, engine):
    """The page shows area 0 alone, and that is what is signed."""
    anna = Person(reading_of(), "anna")
    code, clear = anna.next_code, {"grades": {region: {"area": 0} for region in MASI_REGIONS}}
    anna.draft(code, clear)
    with writing(engine) as session:
        draft = session.execute(select(Draft)).scalar_one()
        draft.reading = draft.reading.replace('{"area": 0}', '{"area": 0, "darkness": 2}', 1)
    assert anna.lock(code, clear).status_code == 200


def test_whoever_was_signed_out_comes_back_to_the_unit_if_it_is_his(reading_of):
    app = reading_of()
    code = Person(app, "anna").next_code
    anna = Person(app, "anna")
    anna.browser.cookies.clear()
    sent_away = anna.see(f"/units/{code}")
    assert sent_away.headers["location"] == f"/sign-in?unit={code}"
    assert f'value="{code}"' in anna.see(f"/sign-in?unit={code}").text
    for name, unit, goes_to in (
        ("anna", code, f"/units/{code}"),
        ("anna", "NOTHING", "/"),
        ("anna", "//evil.example", "/"),
        ("stat", code, "/"),
        ("stat", "", "/"),
    ):
        form = {"name": name, "password": PASSWORD, "unit": unit}
        assert anna.browser.post("/sign-in", data=form).headers["location"] == goes_to


def test_a_link_to_a_unit_is_kept_while_an_own_password_is_chosen(reading_of, engine):
    app = reading_of()
    code = Person(app, "anna").next_code
    given = "given by the coordinator"
    for unit, goes_to in (
        (code, f"/units/{code}"),
        ("NOTHING", "/"),
        ("//evil.example", "/"),
        ("\\evil.example", "/"),
        ("", "/"),
    ):
        with writing(engine) as session:
            set_password(session, "anna", given)
        anna = Person(app, "anna", password=given)
        assert anna.see(f"/units/{code}").headers["location"] == f"/password?unit={code}"
        page = anna.see(f"/password?unit={code}").text
        kept = f'name="unit" value="{code}"'
        assert page.count(kept) == 2  # of the password, and of the language
        assert kept in anna.choose(given, "too short", unit=code).text
        assert anna.choose(given, "one that I chose", unit=unit).headers["location"] == goes_to
    assert 'name="unit"' not in anna.see("/password?unit=//evil.example").text
    language = anna.browser.post("/language", data={"unit": code})
    assert language.headers["location"] == f"/units/{code}"


@pytest.mark.parametrize("length", [9, 201])
def test_terminal_and_page_refuse_a_password_in_the_same_words(reading_of, engine, length):
    anna, asked = Person(reading_of(), "anna"), "x" * length
    english, chinese = (
        texts(language)["refusals"]["password_length"].format(found=length, least=10, most=200)
        for language in ("en", "zh")
    )
    for refused in (
        lambda session: add_account(session, "dora", "coordinator", asked),
        lambda session: set_password(session, "anna", asked),
    ):
        with pytest.raises(ReadingError, match=f"^{re.escape(english)}$"), writing(engine) as session:
            refused(session)
    assert english in anna.choose(PASSWORD, asked).text
    anna.browser.post("/language")
    assert chinese in anna.choose(PASSWORD, asked).text


def test_two_accounts_do_not_differ_by_capitals_alone(reading_of, engine):
    reading_of()
    with pytest.raises(ReadingError, match="There is an account 'anna' already"), writing(engine) as session:
        add_account(session, "Anna", "coordinator", PASSWORD)


def test_no_account_is_called_as_tables_write_that_there_is_nothing(reading_of, engine):
    reading_of()
    with pytest.raises(ReadingError, match="'NaN' stands in tables"), writing(engine) as session:
        add_account(session, "NaN", "coordinator", PASSWORD)


def test_the_trail_says_who_gave_another_password(reading_of, engine, monkeypatch):
    reading_of()
    monkeypatch.setattr("masi_vision.review.audit.system_user", lambda: "mallory")
    with writing(engine) as session:
        set_password(session, "ben", "another one of ten")
    with looking(engine) as session:
        last = trail(session)[-1]
    assert (last.who, last.role, last.what, last.subject) == ("mallory", "tool", "password changed", "ben")


def test_a_region_without_pigment_needs_no_darkness_and_a_unit_that_cannot_be_graded_no_grades(reading_of):
    anna = Person(reading_of(), "anna")
    none = {region: {"area": 0} for region in graded()["grades"]}
    assert anna.lock(anna.next_code, {"grades": none}).status_code == 200
    assert anna.lock(anna.next_code, {"grades": {}, "ungradable": "out of focus"}).status_code == 200
    other = {"grades": {}, "ungradable": "other", "comment": " "}
    assert "comment" in anna.lock(anna.next_code, other).json()["error"]
    assert anna.lock(anna.next_code, other | {"comment": "two people"}).status_code == 200


def test_a_signature_with_another_password_locks_nothing_and_is_noted(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    assert anna.lock(code, graded(), password="a password of yours").status_code == 403
    assert anna.next_code == code
    assert "signature failed" in Person(app, "stat").see("/audit.csv").text


def test_wrong_passwords_at_sign_in_keep_nobody_from_signing(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    for _ in range(6):
        Person(app, "anna", password="not hers at all")
    assert anna.lock(code, graded()).status_code == 200


def test_after_too_many_wrong_signatures_the_right_one_waits_and_adds_nothing(reading_of, engine):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    for _ in range(5):
        anna.lock(code, graded(), password="a password of yours")

    def counted():
        with looking(engine) as session:
            return sum(event.what == "signature failed" for event in trail(session))

    before = counted()
    assert before == 5
    refused = anna.lock(code, graded())
    assert refused.status_code == 403
    assert "Wait" in refused.json()["error"]
    assert counted() == before
    with writing(engine) as session:
        set_password(session, "anna", "another one of hers")  # as the coordinator does for who forgot it
    anna = Person(app, "anna", password="another one of hers")
    assert anna.choose("another one of hers", "one that she chose").status_code == 303
    assert anna.lock(code, graded(), password="one that she chose").status_code == 200
    assert "signature refused" in Person(app, "stat").see("/audit.csv").text


def test_a_password_typed_where_the_name_belongs_is_kept_nowhere(reading_of):
    app = reading_of()
    assert Person(app, "MySecretPassw0rd!").signed_in.status_code != 303
    trail = Person(app, "stat").see("/audit.csv").text
    assert "sign-in failed" in trail
    assert "MySecret" not in trail


def test_scores_of_other_photos_are_not_shown(tmp_path):
    contents = SetContents("a1", ("anna",), {"AAAAAAA/front.jpg": "1" * 64, "BBBBBBB/front.jpg": "2" * 64})

    def write(*visits):
        scored = [{"visit": code, "views": {"front": {"sha256": digest}}} for code, digest in visits]
        (tmp_path / "scores.json").write_text(json.dumps(scored), encoding="utf-8")
        return tmp_path

    shown = software_scores(write(("AAAAAAA", "1" * 64), ("BBBBBBB", None)), contents)
    assert set(shown) == {"AAAAAAA", "BBBBBBB"}
    for visits in ((("AAAAAAA", "1" * 64),), (("AAAAAAA", "1" * 64), ("BBBBBBB", "3" * 64))):
        with pytest.raises(ReadingError, match=r"1 of 2 of the set, such as BBBBBBB/front\.jpg"):
            software_scores(write(*visits), contents)


@pytest.mark.long
@pytest.mark.full_cost
def test_whoever_guesses_must_wait_and_cannot_tell_whether_the_name_exists(reading_of):
    app = reading_of()
    answers = [Person(app, name, "a wrong password").signed_in for name in ("anna", "nobody")]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].text == answers[1].text
    for _ in range(4):
        Person(app, "anna", "a wrong password")
    assert Person(app, "anna").signed_in.status_code == 401
    assert Person(app, "ben").signed_in.status_code == 303


@pytest.mark.full_cost
def test_an_unknown_name_costs_a_whole_hash_too(monkeypatch):
    verified = PasswordHasher.verify
    ends = []

    def watched(hasher, password_hash, password):
        try:
            return verified(hasher, password_hash, password)
        except Exception as error:
            ends.append((type(error), extract_parameters(password_hash)))
            raise

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    known = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1).hash("some password")
    assert not is_password("", "a wrong password")
    assert not is_password(known, "a wrong password")
    assert ends == [(VerifyMismatchError, extract_parameters(known))] * 2  # compared, not refused unread


def routes_of(app):
    return [
        (method, route.path)
        for route in app.routes
        if getattr(route, "methods", None)
        for method in sorted(route.methods - {"HEAD"})
    ]


def at(path, code, view="front"):
    return path.replace("{code}", code).replace("{view}", view)


def test_nobody_gets_anywhere_without_signing_in(reading_of, order):
    app = reading_of()
    stranger = Person(app, "anna", "wrong wrong wrong")
    for method, path in routes_of(app):
        if path in ("/sign-in", "/language"):
            continue
        answer = stranger.browser.request(method, at(path, order("anna")[0]), json={})
        assert answer.status_code == 401, (method, path)


def test_a_reader_reaches_no_unit_that_is_not_open_to_him_and_nothing_of_others_by_any_address(
    reading_of, order
):
    app = reading_of()
    anna, ben = Person(app, "anna"), Person(app, "ben")
    read_all(ben, graded(area=6, comment="of ben alone"))
    later = order("anna")[-1]
    for method, path in routes_of(app):
        if "{code}" in path:
            answer = anna.browser.request(
                method,
                at(path, later),
                json={**graded(), **({"turn": 1} if path.endswith("draft") else {})},
                headers={"X-CSRF-Token": anna.csrf},
            )
            assert answer.status_code == 404, (method, path)
        elif method == "GET":
            assert "of ben alone" not in anna.see(path).text, path
    for path in ("/reads.csv", "/audit.csv", "/audit"):
        assert anna.see(path).status_code == 403


def test_the_coordinator_sees_how_far_readers_are_and_no_grade_photo_or_table(reading_of, order):
    app = reading_of()
    read_all(Person(app, "ben"), graded(area=6, comment="of ben alone"))
    cora = Person(app, "cora")
    shown = cora.see("/").text
    assert f">{len(order('ben'))}</td>" in shown
    assert "of ben alone" not in shown
    for method, path in routes_of(app):
        if method == "GET" and path not in ("/", "/sign-in", "/password"):
            assert cora.see(at(path, order("ben")[0])).status_code == 403, path


@pytest.mark.parametrize(
    "name", ["../../key", "..%2f..%2fkey", "%2e%2e/%2e%2e/set.json", "set.json", "front.jpg"]
)
def test_no_address_leads_to_the_disk(reading_of, name):
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    for path in (f"/units/{code}/photos/{name}", f"/units/{name}/photos/front", f"/static/{name}"):
        assert anna.see(path).status_code in (404, 405, 422), path


def test_what_was_sent_from_another_page_or_without_the_token_is_refused(reading_of):
    anna = Person(reading_of(), "anna")
    code, path = anna.next_code, "/units/{}/draft"
    body = {**graded(), "turn": 1, "read": "blind-1"}
    no_token = anna.browser.put(path.format(code), json=body)
    assert no_token.status_code == 403
    token = {"X-CSRF-Token": anna.csrf}
    for foreign in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert anna.browser.put(path.format(code), json=body, headers=token | foreign).status_code == 403
    long = anna.browser.put(path.format(code), content=b"x" * 100_000, headers=token)
    assert long.status_code == 413
    assert anna.browser.put(path.format(code), json=body, headers=token).status_code == 200


def test_every_page_forbids_other_origins_caches_and_frames(reading_of):
    anna = Person(reading_of(), "anna")
    for path in ("/", "/sign-in", f"/units/{anna.next_code}", "/nothing"):
        headers = anna.see(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
    cookie = anna.signed_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_no_page_tells_where_the_photos_came_from(reading_of, coded):
    app = reading_of()
    anna = Person(app, "anna")
    pages = [anna.see("/").text, anna.see(f"/units/{anna.next_code}").text]
    read_all(anna, graded())
    for who in ("cora", "stat"):
        pages.append(Person(app, who).see("/").text)
    pages += [Person(app, "stat").see(path).text for path in ("/reads.csv", "/audit.csv", "/audit")]
    for page in pages:
        assert not [words for words in coded[1] if words in page]


def test_a_session_that_was_left_or_ended_is_over(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    assert anna.browser.post("/sign-out", data={"csrf": anna.csrf}).status_code == 303
    assert anna.see("/").status_code == 303


def test_a_session_that_was_left_too_long_is_over(reading_of):
    from masi_vision.review.protocol import load_reading_protocol

    limits = load_reading_protocol().session.model_copy(update={"idle_minutes": 1e-6})
    assert Person(reading_of(session=limits), "anna").see("/").status_code == 303


def test_after_so_many_units_a_session_pauses_and_signing_in_anew_is_no_rest(reading_of, order):
    from masi_vision.review.protocol import load_reading_protocol

    limits = load_reading_protocol().session.model_copy(update={"units": 2})
    app = reading_of(session=limits)
    anna = Person(app, "anna")
    for _ in range(2):
        anna.lock(anna.next_code, graded())
    assert anna.next_code is None
    assert "Take a break" in anna.see("/").text
    assert anna.lock(order("anna")[2], graded()).status_code == 404
    assert Person(app, "anna").next_code is None


def test_the_parts_of_a_list_are_days_apart(reading_of, order):
    app = reading_of(days_between_parts=14.0)
    anna = Person(app, "anna")
    read = read_all(anna, graded())
    assert read == order("anna")[: len(read)]
    assert 0 < len(read) <= len(order("anna")) // 3 + 1
    assert "The next part of your list opens at" in anna.see("/").text


@both
def test_reads_that_differ_too_much_go_to_the_adjudicator_who_learns_nobodys_grades(reading_of):
    app = reading_of()
    read_all(Person(app, "anna"), graded(area=2))
    adam = Person(app, "adam")
    assert "nothing to adjudicate" in adam.see("/").text
    read_all(Person(app, "ben"), graded(area=4, comment="of ben alone"))
    shown = adam.see("/").text
    code = shown.split('href="/units/')[1].split('"')[0]
    unit = adam.see(f"/units/{code}").text
    assert "of ben alone" not in unit
    assert "anna" not in unit
    assert adam.next_code == code, "by keyboard: what is next has the focus"
    assert adam.lock(code, graded(area=3)).status_code == 200
    assert (
        adam.see(f"/units/{code}/next").headers["location"] == f"/units/{adam.next_code}" != f"/units/{code}"
    )
    rows = rows_of(Person(app, "stat").see("/reads.csv").text)
    assert [row["stage"] for row in rows if row["reader"] == "adam"] == ["adjudication"]


def test_the_software_s_score_is_shown_after_the_lock_alone_and_both_reads_are_kept(reading_of, order):
    shown = {code: SoftwareScore(SCORED, {}) for code in order("anna")}
    app = reading_of(shown, software="after_lock")
    anna = Person(app, "anna")
    code = anna.next_code
    assert "17.3" not in anna.see(f"/units/{code}").text
    anna.lock(code, graded())
    # A hidden repeat of it may be still to come: nothing is shown before all is read.
    assert "17.3" not in anna.see(f"/units/{code}").text
    assert anna.lock(code, graded(area=5)).status_code == 409
    read_all(anna, graded())
    assert 'id="again"' in anna.see("/").text
    assert "mMASI 17.3, with 90 % between 9.1 and 24.0" in anna.see(f"/units/{code}").text
    assert anna.lock(code, graded(area=5), read="with_software-1").status_code == 200
    rows = rows_of(Person(app, "stat").see("/reads.csv").text)
    assert [
        (row["stage"], row["chin_area"]) for row in rows if row["code"] == code and row["reader"] == "anna"
    ] == [
        ("blind", "2"),
        ("with_software", "5"),
    ]


@pytest.mark.parametrize(("rule", "name"), [("after_lock", "anna"), ("adjudicator", "adam")])
def test_what_was_locked_before_the_software_s_score_was_shown_is_not_corrected(
    reading_of, order, rule, name
):
    units = order("anna")
    scored = {code: SoftwareScore(SCORED, {}) for code in units[:-1]}
    app = reading_of(scored, software=rule)
    people = {who: Person(app, who) for who in ("anna", "ben", "adam")}
    read_all(people["anna"], graded(area=1)) if rule == "adjudicator" else None
    read_all(people["ben"], graded(area=5))
    person, codes = people[name], units
    first = "blind" if rule == "after_lock" else "adjudication"
    for code in codes:
        assert "17.3" not in person.see(f"/units/{code}").text
        assert person.lock(code, graded(), read=f"{first}-1").status_code == 200
        if code != codes[-1]:
            assert person.correct(code).status_code == 303  # nothing was shown yet
            person.draft(code, graded(area=1))
            assert person.lock(code, graded(area=1), read=f"{first}-2").status_code == 200
    person.see("/")  # the list, where the scores are told to be open
    for code in codes:
        assert person.correct(code).status_code == 409
    for code in scored:
        assert "17.3" in person.see(f"/units/{code}").text
        assert person.lock(code, graded(area=3), read="with_software-1").status_code == 200
    assert person.correct(units[0]).status_code == 303
    person.draft(units[0], graded(area=6))
    assert person.lock(units[0], graded(area=6), read="with_software-2").status_code == 200
    rows = rows_of(Person(app, "stat").see("/reads.csv").text)
    last = units[-1]  # without a score of its own: nor is it corrected, its repeat may have one
    stages = {
        code: [(row["stage"], row["version"]) for row in rows if (row["code"], row["reader"]) == (code, name)]
        for code in (units[0], last)
    }
    assert stages[units[0]] == [(first, "1"), (first, "2"), ("with_software", "1"), ("with_software", "2")]
    assert stages[last] == [(first, "1")]


def test_the_adjudicator_sees_no_score_while_a_reader_may_still_ask_for_another_verdict(
    reading_of, order, engine
):
    codes = order("anna")
    app = reading_of({code: SoftwareScore(SCORED, {}) for code in codes}, software="adjudicator")
    anna, ben, adam = (Person(app, name) for name in ("anna", "ben", "adam"))
    read_all(anna, graded(area=2))
    read_all(ben, graded(area=2))
    assert ben.correct(codes[0]).status_code == 303
    assert 'id="again"' not in adam.see("/").text
    ben.draft(codes[0], graded(area=5))
    assert ben.lock(codes[0], graded(area=5), read="blind-2").status_code == 200
    assert "17.3" not in adam.see(f"/units/{codes[0]}").text
    assert adam.lock(codes[0], graded(area=3), read="adjudication-1").status_code == 200
    assert "17.3" in adam.see(f"/units/{codes[0]}").text
    told = ben.correct(codes[1])
    assert told.status_code == 409
    assert "The adjudicator was shown the software" in told.text
    with looking(engine) as session:
        assert [event.who for event in trail(session) if event.what == "software shown"] == ["adam"]


def test_where_the_protocol_says_never_nobody_sees_the_software_s_score(reading_of, order):
    shown = {code: SoftwareScore(SCORED, {}) for code in order("anna")}
    anna = Person(reading_of(shown), "anna")
    code = anna.next_code
    anna.lock(code, graded())
    assert "17.3" not in anna.see(f"/units/{code}").text


@both
def test_the_database_itself_refuses_to_change_what_was_locked_or_noted(reading_of, engine):
    anna = Person(reading_of(), "anna")
    anna.lock(anna.next_code, graded())
    acts = ["UPDATE entry SET reading = ''", "DELETE FROM event", "UPDATE event SET who = 'ben'"]
    acts.append("DELETE FROM entry")
    if engine.dialect.name == "postgresql":
        acts += ["TRUNCATE entry", "TRUNCATE event"]
    else:
        acts += [f"INSERT OR REPLACE INTO {name} SELECT * FROM {name}" for name in ("entry", "event")]
    for act in acts:
        with pytest.raises(DatabaseError, match="never changed"), writing(engine) as session:
            session.execute(text(act))


def test_pages_speak_chinese_where_it_is_chosen(reading_of):
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    for where, back in ((code, f"/units/{code}"), ("//evil.example", "/"), (code, f"/units/{code}")):
        gone_to = anna.browser.post("/language", data={"unit": where}, follow_redirects=False)
        assert gone_to.headers["location"] == back
    assert "我的列表" in anna.see("/").text
    assert "前额" in anna.see(f"/units/{anna.next_code}").text
    assert PASSWORD not in anna.see("/").text
    anna.lock(code, graded())
    refused = anna.lock(code, graded(area=5))
    assert (refused.status_code, refused.json()["language"]) == (409, "zh")
    assert "已锁定" in refused.json()["error"]
    stale = anna.browser.post(f"/units/{code}/correction", data={"csrf": "old", "reason": "none"})
    assert (stale.status_code, stale.json()["error"]) == (403, "页面已过期，请重新打开。")


def test_a_language_is_kept_for_a_year_and_what_has_no_other_says_so(reading_of, order):
    app = reading_of({code: SoftwareScore(REFUSED, {}) for code in order("anna")}, software="after_lock")
    anna = Person(app, "anna")
    assert "Max-Age=31536000" in anna.browser.post("/language").headers["set-cookie"]
    codes = read_all(anna, graded())
    page = anna.see(f"/units/{codes[0]}").text
    assert '软件未能评分。 <span lang="en">The photo cannot be read.</span>' in page
    assert '下颏：色素判定多处不确定、过曝、<span lang="en">out of focus</span>' in page
    assert "第 1 次记录：anna 于" in page
    stat = Person(app, "stat")
    stat.browser.post("/language")
    assert '<table class="small" lang="en">' in stat.see("/audit").text
    cora = Person(app, "cora")
    cora.browser.post("/language")
    assert "<td>裁定者</td>" in cora.see("/").text
    assert "待裁定例数：0" in cora.see("/").text


CHANGES = {
    "stage": "with_software",
    "version": 2,
    "reason": "another",
    "locked_utc": "2026-01-01T00:00:00.000+00:00",
    "meaning": "Nothing.",
    "reading": '{"comment":"","grades":{},"ungradable":"other"}',
    "signed_by": "ben",
    "account_id": 2,
}


@pytest.mark.parametrize("column", [*CHANGES, "all of it, signed anew", "gone", "doubled"])
def test_whoever_passes_the_triggers_and_alters_a_locked_read_is_found_out(reading_of, engine, column):
    app = reading_of()
    anna = Person(app, "anna")
    anna.lock(anna.next_code, graded())
    with engine.begin() as connection:
        for name in connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ).scalars():
            connection.execute(text(f"DROP TRIGGER {name}"))
    with writing(engine) as session:
        (entry,) = session.execute(select(Entry)).scalars()
        if column in CHANGES:
            setattr(entry, column, CHANGES[column])
        elif column == "gone":
            session.delete(entry)
        elif column == "doubled":
            values = {
                one.name: getattr(entry, one.name) for one in Entry.__table__.columns if one.name != "id"
            }
            session.add(Entry(**values | {"version": 7}))
        else:
            entry.reading = CHANGES["reading"]
            entry.sha256 = signature_hash(entry)
    with looking(engine) as session:
        assert (
            list(faults(trail(session), session.execute(select(Head)).scalar_one())) == []
        )  # itself as it was
        assert looked_through(session)[1]
    assert "The audit trail was altered" in Person(app, "stat").see("/").text


def test_a_pause_ends_the_count_of_a_session_however_many_sign_ins_it_had(reading_of, engine, order):
    from masi_vision.review.protocol import load_reading_protocol

    limits = load_reading_protocol().session.model_copy(update={"units": 2, "pause_minutes": 15})
    app = reading_of(session=limits)
    anna, elsewhere = Person(app, "anna"), Person(app, "anna")
    anna.lock(anna.next_code, graded())
    elsewhere.lock(elsewhere.next_code, graded())
    assert anna.next_code is elsewhere.next_code is None
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER entry_no_update"))
        connection.execute(text("UPDATE entry SET locked_utc = '2026-01-01T00:00:00.000+00:00' WHERE id = 1"))
    assert anna.next_code == order("anna")[2]


@both
def test_what_cannot_be_text_is_refused(reading_of):
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    anna.lock(code, graded())
    assert anna.correct(code, reason="a\0b").status_code == 422
    assert Person(app, "an\0na").signed_in.status_code == 422
    assert anna.see("/units/%00/photos/front").status_code == 404


def test_what_fails_inside_is_answered_with_the_headers_of_every_page(reading_of, monkeypatch):
    app = reading_of()
    anna = Person(app, "anna")

    def broken(*_args):
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr("masi_vision.review.lists.own_list", broken)
    failed = anna.browser.get("/")
    assert failed.status_code == 500
    assert "default-src 'none'" in failed.headers["content-security-policy"]
    assert "secret" not in failed.text


def test_a_download_is_noted(reading_of):
    stat = Person(reading_of(), "stat")
    stat.see("/reads.csv")
    trail_ = rows_of(stat.see("/audit.csv").text)
    assert [row["subject"] for row in trail_ if row["what"] == "downloaded"] == ["reads.csv", "audit.csv"]


def test_a_person_who_is_refused_gets_a_page_and_the_way_back(reading_of, order):
    anna = Person(reading_of(), "anna")
    for path in (f"/units/{order('anna')[2]}", "/nowhere"):
        refused = anna.see(path)
        assert refused.status_code == 404
        assert "There is no such page" in refused.text
        assert 'href="/"' in refused.text
    form = {"csrf": anna.csrf, "reason": "none"}
    unread = f"/units/{anna.next_code}/correction"
    told = anna.browser.post(unread, data=form, headers={"accept": "text/html"})
    assert told.status_code == 409
    assert "Expected a locked read to correct" in told.text


def test_what_cannot_be_taken_is_not_sent_back(reading_of):
    app = reading_of()
    password = "x" * 201
    for accept in ("text/html", "*/*"):
        told = Person(app, "anna").browser.post(
            "/sign-in", data={"name": "anna", "password": password}, headers={"accept": accept}
        )
        assert told.status_code == 422
        assert password not in told.text


class Clock:
    """The server's clock, which a person sets."""

    def __init__(self, monkeypatch):
        self.ahead = timedelta(0)
        for module in ("audit", "accounts", "closing", "lists", "pages", "reading"):
            monkeypatch.setattr(f"masi_vision.review.{module}.now", self.now)

    def now(self):
        return (datetime.now(UTC) + self.ahead).isoformat(timespec="milliseconds")


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_clock_that_is_set_back_lets_nobody_guess_and_leaves_no_session_open(reading_of, clock, engine):
    """It ran a day ahead, and was set right."""
    clock.ahead = timedelta(days=1)
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    anna.lock(code, graded())
    for _ in range(5):
        Person(app, "ben", password="no password of his")
    clock.ahead = timedelta(0)
    assert anna.see("/").status_code == 303, "her session ended with that clock"
    assert Person(app, "ben").signed_in.status_code == 303
    anna = Person(app, "anna")
    code = anna.next_code
    tried = [anna.lock(code, graded(), password="a password of yours").json()["error"] for _ in range(7)]
    assert ["many" in said for said in tried] == [False] * 5 + [True] * 2
    with looking(engine) as session:
        events, wrong = looked_through(session)
    assert wrong == []
    (told,) = server_clock_set_back(events)
    assert "clock was set back" in told
    assert told in html.unescape(Person(app, "stat").see("/audit").text)


@both
def test_reads_have_the_row_of_the_trail_of_their_lock_though_the_clock_was_set_back(reading_of, clock):
    clock.ahead = timedelta(hours=1)
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    anna.lock(code, graded(area=3))
    clock.ahead = timedelta(0)
    ben = Person(app, "ben")
    ben.lock(ben.next_code, graded())
    anna = Person(app, "anna")
    anna.correct(code)
    anna.draft(code, graded(area=2))
    assert anna.lock(code, graded(area=2)).status_code == 200
    stat = Person(app, "stat")
    trail_rows = {row["number"]: row for row in rows_of(stat.see("/audit.csv").text)}
    locked = [row for row in rows_of(stat.see("/reads.csv").text) if row["trail_row"]]
    for row in locked:
        event = trail_rows[row["trail_row"]]
        assert (event["who"], event["subject"]) == (row["reader"], row["code"])
        assert event["new"].startswith(row["sha256"])
    in_order = sorted(locked, key=lambda row: int(row["trail_row"]))
    assert [(row["reader"], row["version"]) for row in in_order] == [
        ("anna", "1"),
        ("ben", "1"),
        ("anna", "2"),
    ]
    assert in_order[0]["locked_utc"] == max(row["locked_utc"] for row in locked)


@both
def test_a_draft_of_before_the_clock_was_set_back_is_not_the_one_saved_last(reading_of, clock):
    clock.ahead = timedelta(hours=1)
    app = reading_of()
    anna = Person(app, "anna")
    code = anna.next_code
    anna.draft(code, graded(area=3))
    clock.ahead = timedelta(0)
    anna = Person(app, "anna")
    assert anna.draft(code, graded(area=2), turn=2).json()["accepted"]
    clock.ahead = timedelta(seconds=50)
    told = anna.draft(code, graded(area=4), turn=9).json()
    assert not told["accepted"]
    assert 50_000 <= told["saved_ms_ago"] < 110_000


@both
def test_a_clock_that_ran_ahead_and_was_set_right_bars_nobody_until_the_day_that_it_had(
    reading_of, clock, order
):
    app = reading_of(days_between_parts=14.0)
    clock.ahead = timedelta(days=365)
    read = read_all(Person(app, "anna"), graded())
    told = set()
    for days in (0, 1, 13):
        clock.ahead = timedelta(days=days)
        page = Person(app, "anna").see("/").text
        told.add(re.search(r"opens at ([^<]+)", page).group(1))
    assert len(told) == 1, "one moment, whenever it is asked for"
    for days, opens in ((14, True), (364, True), (366, False), (378, False), (379, True)):
        clock.ahead = timedelta(days=days, minutes=1)
        # After the day that it had, a lock may be of a right clock, and she waits once more.
        assert (Person(app, "anna").next_code == order("anna")[len(read)]) is opens, days


@pytest.mark.parametrize("by_that_clock", [1, 2])
def test_a_pause_after_a_clock_that_ran_ahead_comes_and_ends_as_any(reading_of, clock, order, by_that_clock):
    limits = load_reading_protocol().session.model_copy(update={"units": 2, "pause_minutes": 15})
    app = reading_of(session=limits)
    for ahead in [1] * by_that_clock + [0] * (2 - by_that_clock):
        clock.ahead = timedelta(days=ahead)
        anna = Person(app, "anna")
        anna.lock(anna.next_code, graded())
    clock.ahead = timedelta(0)
    assert "Take a break" in Person(app, "anna").see("/").text
    clock.ahead = timedelta(minutes=16)
    assert Person(app, "anna").next_code == order("anna")[2]


@pytest.mark.parametrize("days_behind", [5, 60, 20_000])
def test_a_clock_that_was_behind_for_a_while_opens_no_part_early(reading_of, clock, order, days_behind):
    app = reading_of(days_between_parts=14.0)
    read = read_all(Person(app, "anna"), graded())
    clock.ahead = -timedelta(days=days_behind)
    assert "The next part of your list opens at" in Person(app, "anna").see("/").text
    clock.ahead = timedelta(days=13, hours=23)
    assert "The next part of your list opens at" in Person(app, "anna").see("/").text
    clock.ahead = timedelta(days=14, minutes=1)
    assert Person(app, "anna").next_code == order("anna")[len(read)]


def test_a_clock_that_was_behind_for_a_while_ends_no_pause_early(reading_of, clock):
    app = reading_of(
        session=load_reading_protocol().session.model_copy(update={"units": 1, "pause_minutes": 15})
    )
    anna = Person(app, "anna")
    anna.lock(anna.next_code, graded())
    clock.ahead = -timedelta(days=5)
    Person(app, "anna")
    clock.ahead = timedelta(0)
    assert "Take a break" in Person(app, "anna").see("/").text


FAILS = {
    "sqlite": {
        "SELECT no_such_function()": None,  # a fault of ours
        "PRAGMA query_only = ON; CREATE TABLE more (one INTEGER)": "The server cannot write",
    },
    "postgresql": {
        "SELECT no_such_function()": None,
        "DO $$ BEGIN RAISE 'no space left' USING ERRCODE = '53100';END $$": "The server cannot write",
        "SELECT pg_terminate_backend(pg_backend_pid())": "The server cannot write",
        "DO $$ BEGIN RAISE 'not now' USING ERRCODE = '55P03';END $$": "Another program holds the database",
    },
}


@both
def test_a_database_that_cannot_be_written_is_said_and_logged_in_a_line(
    reading_of, monkeypatch, caplog, engine
):
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    for statement, said in FAILS[engine.dialect.name].items():

        def fails(session, *_, acts=statement, **__):
            for act in acts.split("; "):
                session.execute(text(act))

        caplog.clear()
        monkeypatch.setattr("masi_vision.review.reading.lock", fails)
        refused = anna.lock(code, graded())
        (line,) = (record for record in caplog.records if record.name.startswith("masi_vision.review"))
        assert (refused.status_code, line.exc_info is None) == ((500, False) if said is None else (503, True))
        assert (said or "what you entered is kept") in refused.json()["error"]


@both
def test_a_database_that_cannot_be_written_is_said_on_the_command_line_too(engine):
    told = {None: None, "The server cannot write": "free space", "Another program": "held by another program"}
    address = engine.url.render_as_string(hide_password=False)
    for statement, said in FAILS[engine.dialect.name].items():
        words = told[said and next(one for one in told if one and said.startswith(one))]
        with (
            pytest.raises(ReadingError if words else DatabaseError, match=words),
            using(address),
            writing(engine) as session,
        ):
            for act in statement.split("; "):
                session.execute(text(act))


def test_a_long_trail_is_shown_in_parts(reading_of, monkeypatch):
    monkeypatch.setattr("masi_vision.review.statistician._ROWS_OF_PAGE", 5)
    stat = Person(reading_of(), "stat")
    newest, first = stat.see("/audit").text, stat.see("/audit?first=1").text
    rows = [re.findall(r"<tr><td>(\d+)</td>", page) for page in (newest, first)]
    assert rows[1] == list("12345")
    assert int(rows[0][0]) > 5
    assert len(rows[0]) <= 5
    assert 'href="/audit?first=1"' in newest
    assert 'aria-current="page">Rows 1 to 5<' in first


def test_a_password_that_somebody_gave_is_exchanged_before_anything_else(reading_of, engine):
    app = reading_of()
    with writing(engine) as session:
        set_password(session, "anna", "given by the coordinator")
    anna = Person(app, "anna", password="given by the coordinator")
    assert anna.see("/").headers["location"] == "/password"
    assert anna.browser.get("/units/ABCDEFG/photos/front").status_code == 403
    assert "known to whoever gave it" in anna.see("/password").text
    for old, new, again, why in (
        ("given by the coordinator", "one that I chose", "one that I chase", "differently the second time"),
        (
            "given by the coordinator",
            "given by the coordinator",
            None,
            "is the one that you gave as the old one",
        ),
        ("given by the coordinator", "short", None, "has 5 characters. Expected 10 to 200"),
        ("not the one at all", "not the one at all", None, "is the one that you gave as the old one"),
        ("not the one at all", "one that I chose", None, "is not the password that you have, or there"),
    ):
        refused = anna.choose(old, new, again)
        assert (refused.status_code, why in html.unescape(refused.text)) == (409, True), refused.text
    other = Person(app, "anna", password="given by the coordinator")
    assert anna.choose("given by the coordinator", "one that I chose").headers["location"] == "/"
    assert anna.next_code
    assert other.see("/").headers["location"] == "/sign-in"
    assert anna.lock(anna.next_code, graded(), password="given by the coordinator").status_code == 403
    assert anna.lock(anna.next_code, graded(), password="one that I chose").status_code == 200
    with looking(engine) as session:
        events, faults = looked_through(session)
    changed = [(event.who, event.role) for event in events if event.what == "password changed"]
    assert changed[-1] == ("anna", "reader")
    assert [event.who for event in events if event.what == "password change failed"] == ["anna"]
    assert not faults


def test_one_wrong_password_in_each_period_keeps_nobody_out(reading_of, engine, monkeypatch):
    app, start = reading_of(), datetime.now(UTC)

    def at_minute(minute):
        moment = (start + timedelta(minutes=minute)).isoformat(timespec="milliseconds")
        for module in ("accounts", "audit", "pages"):
            monkeypatch.setattr(f"masi_vision.review.{module}.now", lambda: moment)

    for _ in range(5):
        Person(app, "anna", password="not hers at all")
    assert Person(app, "anna").signed_in.status_code == 401
    for minute in (16, 32, 48):
        at_minute(minute)
        Person(app, "anna", password="not hers at all")
        assert Person(app, "anna").signed_in.status_code == 303


def test_names_of_nobody_do_not_fill_the_trail_and_its_rows_say_from_where(reading_of, engine):
    app = reading_of()
    for number in range(12):
        Person(app, f"nobody-{number}")
    Person(app, "anna", password="not hers at all")
    with looking(engine) as session:
        failed = [event for event in trail(session) if event.what == "sign-in failed"]
    assert [event.subject for event in failed] == ["unknown name", "anna"]
    assert {event.reason for event in failed} == {"from testclient"}
    for _ in range(12):
        Person(app, "anna", password="not hers at all")
    with looking(engine) as session:
        refused = [event.reason for event in trail(session) if event.what == "sign-in refused"]
    assert refused == ["too many wrong passwords; from testclient"]


def test_a_clock_that_was_set_back_lets_nobody_fill_the_trail(reading_of, clock, engine):
    clock.ahead = timedelta(hours=1)
    app = reading_of()
    Person(app, "nobody")
    clock.ahead = timedelta(0)
    for number in range(12):
        Person(app, f"nobody-{number}")
    for _ in range(12):
        Person(app, "anna", password="not hers at all")
    with looking(engine) as session:
        events = trail(session)
    told = Counter((event.what, event.subject) for event in events if event.what.startswith("sign-in"))
    assert told["sign-in failed", "unknown name"] == 2  # of the clock of before, and of that of after
    assert told["sign-in refused", "anna"] == 1


def test_when_many_sign_in_at_once_the_rest_is_sent_away_and_pages_are_answered(reading_of, monkeypatch):
    monkeypatch.setattr("masi_vision.review.pages._MOST_SIGNING_IN", 8)
    app, anna = (made := reading_of()), Person(made, "anna")
    go_on, waiting = Event(), Semaphore(0)

    def slow(_hash, _password):
        waiting.release()
        return go_on.wait(20) and False

    monkeypatch.setattr("masi_vision.review.accounts.is_password", slow)
    with ThreadPoolExecutor(8) as at_once:
        asked = [at_once.submit(Person, app, "anna", "not hers at all") for _ in range(8)]
        for _ in range(8):
            assert waiting.acquire(timeout=20)
        try:
            late = Person(app, "ben", "not his at all").signed_in
            assert (late.status_code, "Try again in a few seconds" in late.text) == (429, True)
            assert anna.see("/").status_code == 200
        finally:
            go_on.set()
        assert {one.result().signed_in.status_code for one in asked} == {401}


def test_half_a_letter_is_a_wrong_password(reading_of):
    anna = Person(reading_of(), "anna")
    code = anna.next_code
    sent = json.dumps({**graded(), "read": "blind-1", "password": "\ud800" * 12})
    head = {"X-CSRF-Token": anna.csrf, "content-type": "application/json"}
    assert anna.browser.post(f"/units/{code}/lock", content=sent, headers=head).status_code == 403


def test_no_telemetry_is_sent_whatever_the_environment_says(reading_of, monkeypatch):
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
    found = getattr(reading_of(), "_telemetry", {})
    assert not any(found.get(name) for name in ("tracing", "metrics", "logs", "auto_configure"))


def test_on_this_machine_alone_other_names_of_it_are_refused(reading_of, engine, coded):
    reading_of()
    own = frozenset({"127.0.0.1", "[::1]", "localhost"})
    guarded = create_app(Reviewed(engine, coded[0], load_reading_protocol(), {}, hosts=own))
    hosts = (("localhost:8420", 200), ("127.0.0.1", 200), ("[::1]:8420", 200), ("evil.example", 421))
    for host, status in hosts:
        asked = TestClient(guarded).get("/sign-in", headers={"host": host})
        assert asked.status_code == status, host
    sent = TestClient(guarded).post(
        "/sign-in", data={}, headers={"host": "127.0.0.1", "origin": "https://reading.hospital.example"}
    )
    assert sent.status_code == 403
    assert "must pass the header Host on" in sent.json()["error"]


PAST_THE_TRAIL = {
    "role": ("UPDATE account SET role = 'statistician' WHERE name = 'ben'", "it was made for a reader ben"),
    "switch": ("UPDATE account SET active = false WHERE name = 'adam'", "adam was switched past"),
    "password": (
        "UPDATE account SET password_hash = (SELECT password_hash FROM account WHERE name = 'cora') "
        "WHERE name = 'anna'",
        "The password of anna was changed past",
    ),
    "given": ("UPDATE account SET given_password = false WHERE name = 'zoe'", "Whether zoe chose"),
    "given anew": (
        "UPDATE account SET given_password = false WHERE name = 'ben'",
        "Whether ben chose",
    ),
    "protocol": (
        "UPDATE fact SET value = '{}' WHERE name = 'protocol text'",
        "The database says protocol text",
    ),
    "no protocol": (
        "DELETE FROM fact WHERE name = 'protocol text'",
        "protocol text of nothing",
    ),
}
"""What somebody who can write the database's file may change in it, and what verifying says of it."""


@both
@pytest.mark.parametrize("what", PAST_THE_TRAIL)
def test_accounts_and_facts_changed_past_the_trail_are_found(reading_of, engine, what):
    reading_of()
    with writing(engine) as session:
        switch(session, "cora", active=False)
        add_account(session, "zoe", "coordinator", PASSWORD, given=True)
        set_password(session, "ben", "given by the coordinator")
    with looking(engine) as session:
        assert not looked_through(session)[1]
    statement, said = PAST_THE_TRAIL[what]
    with writing(engine) as session:
        session.execute(text(statement))
    with looking(engine) as session:
        found = looked_through(session)[1]
    assert len(found) == 1
    assert said in found[0]


def test_a_closing_moved_past_the_trail_is_found(reading_of, engine):
    reading_of()
    with writing(engine) as session:
        close(session, load_reading_protocol(), "to see")
    with looking(engine) as session:
        assert not looked_through(session)[1]
    with writing(engine) as session:
        session.execute(text("UPDATE fact SET value = '2026-01-01T00:00:00.000+00:00' WHERE name = 'closed'"))
    with looking(engine) as session:
        assert ["closed at 2026-01-01" in one for one in looked_through(session)[1]] == [True]


def test_successors_read_what_those_who_left_have_not_locked(reading_of, engine, coded, order):
    app = reading_of()

    def follows(name, left):
        with writing(engine) as session:
            add_account(session, name, "reader", PASSWORD, list_name="anna")
            return give_list(session, name, coded[0], load_reading_protocol(), rest_of=left)

    for locked, (name, successor) in enumerate((("anna", "cleo"), ("cleo", "dora")), 1):
        reader = Person(app, name)
        assert reader.lock(reader.next_code, graded()).status_code == 200
        assert follows(successor, name) == len(order("anna")) - locked
        assert Person(app, successor).next_code == order("anna")[locked]
    with pytest.raises(ReadingError, match="cleo has the rest of anna"):
        follows("eve", "anna")
    with looking(engine) as session:
        events, faults = looked_through(session)
    assert [event.reason for event in events if event.reason] == ["the rest of anna", "the rest of cleo"]
    assert not faults

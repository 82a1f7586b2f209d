"""Scripted readers at the reading page, served as it is served to people.

    python tests/shared/readers.py browser [--units 60] [--screenshots docs/review]
    python tests/shared/readers.py many [--readers 20] [--units 6] [--postgresql]
    python tests/shared/readers.py photo

``browser``: one reader in Chromium, by keyboard alone, while the network drops, the page is loaded anew and
the server is killed. ``many``: as many readers at once, a moment of thought before each grade. ``photo``: how
soon a photo of 24 megapixels is on the screen, and whether it goes blank while it is zoomed. What was read
is compared in the database with what was meant.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from named_photos import make_set
from postgres_server import make_database, postgres_server
from sqlalchemy import select

from masi_vision.batch.study import visits_of
from masi_vision.blinding.coded_set import CodingPlan, read_contents
from masi_vision.config import load_settings
from masi_vision.phantom.demo import demo_folder
from masi_vision.review.accounts import add_account
from masi_vision.review.altered import looked_through
from masi_vision.review.database import looking, open_database, writing
from masi_vision.review.lists import give_list
from masi_vision.review.protocol import load_reading_protocol
from masi_vision.review.reading import prepare
from masi_vision.review.tables import Account, Entry
from masi_vision.scale import MASI_REGIONS
from masi_vision.shipped import shipped_file

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "a password of mine"
SIZE_24MP = (6000, 4000)
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@dataclass
class Reading:
    """A coded set with its protocol and database, and the server that shows it."""

    folder: Path
    coded: Path
    protocol: Path
    database: str
    port: int
    readers: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, and wait until somebody answers."""
        command = [sys.executable, "-m", "masi_vision", "review", str(self.coded), "--db", self.database]
        command += ["--protocol", str(self.protocol), "--port", str(self.port)]
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(600):
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/sign-in")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text(encoding="utf-8"))

    def kill(self) -> None:
        """Without a word of warning."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def locked(self, name: str) -> dict[str, list[dict]]:
        """What a reader locked, by code."""
        engine, found = open_database(self.database), defaultdict(list)
        with looking(engine) as session:
            who = session.scalars(select(Account).where(Account.name == name)).one()
            for entry in session.scalars(select(Entry).where(Entry.account_id == who.id)):
                found[entry.code].append(json.loads(entry.reading))
        engine.dispose()
        return found

    def faults(self) -> list[object]:
        """Of the audit trail."""
        engine = open_database(self.database)
        with looking(engine) as session:
            _, wrong = looked_through(session)
        engine.dispose()
        return list(wrong)


@contextmanager
def reading_of(
    units: int, readers: list[str], *, size: tuple[int, int] | None = None, database: str | None = None
) -> Iterator[Reading]:
    """A reading of so many units with front, right and left view, of the demo's faces, and its server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faces = sorted(demo_folder().glob("*/*"))
        for number in range(units):
            visit = folder / "study" / f"P{number:03d}" / "visit-1"
            visit.mkdir(parents=True)
            for view in ("front", "right", "left"):
                file = faces[number % len(faces)] / f"{view}.jpg"
                photo = cv2.imread(str(file if file.exists() else file.with_stem("front")))
                if size is not None:
                    photo = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
                    grain = np.random.default_rng(number).integers(-6, 7, photo.shape, dtype=np.int16)
                    photo = np.clip(photo + grain, 0, 255).astype(np.uint8)
                photo = photo[number:]  # no two alike: a set tells of doubles
                cv2.imwrite(str(visit / f"{view}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])
        visits = visits_of(str(folder / "study"), load_settings().views)
        make_set(visits, folder / "set", CodingPlan(tuple(readers), repeat_share=0.0))
        rules = yaml.safe_load(shipped_file("configs", "protocol.yaml").read_text(encoding="utf-8"))
        rules |= {"days_between_parts": 0}
        rules["session"] |= {"units": 1000}
        protocol = folder / "protocol.yaml"
        protocol.write_text(yaml.safe_dump(rules), encoding="utf-8")
        database = database or str(folder / "reads.db")
        engine = open_database(database)
        with writing(engine) as session:
            prepare(session, folder / "set", load_reading_protocol(protocol))
            for one in readers:
                add_account(session, one, "reader", PASSWORD, list_name=one)
                give_list(session, one, folder / "set", load_reading_protocol(protocol))
            add_account(session, "cora", "coordinator", PASSWORD, list_name="")
            add_account(session, "stat", "statistician", PASSWORD, list_name="")
        engine.dispose()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = Reading(folder, folder / "set", protocol, database, port, readers)
        made.start()
        try:
            yield made
        finally:
            made.kill()


def meant_for(code: str) -> dict[str, dict[str, int]]:
    """The grades that a scripted reader gives a unit."""
    rng = np.random.default_rng(int.from_bytes(code.encode(), "big") % 2**32)
    grades = {}
    for region in MASI_REGIONS:
        area = int(rng.integers(0, 7))
        grades[region] = {"area": area} | ({"darkness": int(rng.integers(1, 5))} if area else {})
    return grades


@dataclass
class Outcome:
    """What became of the grades that were meant."""

    units: int
    lost: int
    doubled: int
    wrong: int
    faults: int

    @property
    def is_perfect(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.faults)

    def __str__(self) -> str:
        return (
            f"{self.units} units: {self.lost} lost, {self.doubled} doubled, {self.wrong} with other grades "
            f"than meant, {self.faults} faults in the audit trail"
        )


def outcome_of(reading: Reading, names: list[str]) -> Outcome:
    """Compare the database with what was meant."""
    counts: Counter[str] = Counter()
    codes = read_contents(reading.coded).codes
    for name in names:
        found = reading.locked(name)
        for code in codes:
            entries = found.get(code, [])
            counts["lost"] += not entries
            counts["doubled"] += len(entries) > 1
            counts["wrong"] += any(one["grades"] != meant_for(code) for one in entries)
    units = len(codes) * len(names)
    return Outcome(units, counts["lost"], counts["doubled"], counts["wrong"], len(reading.faults()))


# --- one reader in a browser -------------------------------------------------------------------------------


@contextmanager
def chromium() -> Iterator[object]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: object, reading: Reading, name: str) -> None:
    """By keyboard: the first field has the focus."""
    page.goto(f"{reading.url}/sign-in")
    page.locator("[name=name]:focus").wait_for()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{reading.url}/")


def press_grades(page: object, grades: dict[str, dict[str, int]], *, skip: int = 0, most: int = 99) -> None:
    """Type the grades of a unit, two for every region; the focus goes from scale to scale by itself."""
    keys = [str(region.get(scale, 0)) for region in grades.values() for scale in ("area", "darkness")]
    for key in keys[skip:most]:
        page.keyboard.press(key)


def look_at_every_view(page: object) -> None:
    """What a reader signs is that the unit was graded from its photographs: all have been on the screen."""
    while page.evaluate("state.views.some((view) => !looked.has(view))"):
        page.keyboard.press("v")
        page.wait_for_function("() => looked.has(document.body.dataset.shown)")


def lock(page: object) -> None:
    """Lock and sign; the button has the focus after the last grade."""
    look_at_every_view(page)
    page.keyboard.press("l")
    page.locator("#password:focus").wait_for()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")


def read_all(browser: object, reading: Reading, name: str, pictures: Path | None = None) -> Outcome:
    """One reader, all units, by keyboard; the network, the page and the server fail in a third each."""
    units = len(read_contents(reading.coded).codes)
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(20_000)
    sign_in(page, reading, name)
    _kept(page, pictures, "list")
    page.locator("#next:focus").wait_for()
    page.keyboard.press("Enter")
    for number in range(units):
        page.locator("body[data-ready=yes]").wait_for()
        code = page.url.rsplit("/", 1)[-1]
        grades = meant_for(code)
        trouble = ("none", "network", "reload", "server", "none")[number % 5]
        press_grades(page, grades, most=3)
        _in_trouble(page, reading, trouble, grades)
        if number == 0:
            page.locator("body[data-shown]").wait_for()
            _kept(page, pictures, "unit")
            _narrow(browser, page, pictures)
        lock(page)
        page.wait_for_url(lambda url, code=code: not url.rstrip("/").endswith((code, "next")))
    _kept(page, pictures, "done")
    for role in ("cora", "stat"):
        other = browser.new_context(viewport={"width": 1400, "height": 700}).new_page()
        sign_in(other, reading, role)
        _kept(other, pictures, {"cora": "progress", "stat": "tables"}[role])
    return outcome_of(reading, [name])


def _in_trouble(page: object, reading: Reading, trouble: str, grades: dict[str, dict[str, int]]) -> None:
    """Go on grading while something fails, then wait until it is mended."""
    if trouble == "network":
        page.context.set_offline(True)
        press_grades(page, grades, skip=3)
        page.context.set_offline(False)
    elif trouble == "reload":
        press_grades(page, grades, skip=3, most=5)
        page.reload()  # may come before the last grade was sent
        page.locator("body[data-ready=yes]").wait_for()
        is_without = list(grades.values())[2]["area"] == 0  # then the page goes on behind its darkness
        press_grades(page, grades, skip=6 if is_without else 5)
    elif trouble == "server":
        reading.kill()
        press_grades(page, grades, skip=3)
        page.wait_for_timeout(700)
        reading.start()
    else:
        press_grades(page, grades, skip=3)
    page.wait_for_function("() => !localStorage.length")  # nothing is unsent


def _narrow(browser: object, page: object, pictures: Path | None) -> None:
    """The same unit on a telephone, and the dialog on the wide screen."""
    if pictures is None:
        return
    look_at_every_view(page)
    page.keyboard.press("l")
    page.locator("dialog[open]").wait_for()
    _kept(page, pictures, "sign")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 400, "height": 1100})
    page.wait_for_timeout(500)
    _kept(page, pictures, "narrow")
    page.set_viewport_size({"width": 1400, "height": 900})


def _kept(page: object, pictures: Path | None, name: str) -> None:
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(pictures / f"{name}.jpg"), type="jpeg", quality=80)


# --- a large photo -----------------------------------------------------------------------------------------

_BLANK = """
async () => {
  const canvas = document.querySelector("#viewer canvas");
  const pen = canvas.getContext("2d");
  const frames = { drawn: 0, blank: 0, slowest_ms: 0 };
  const until = performance.now() + 2500;
  let last = performance.now();
  while (performance.now() < until) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.slowest_ms = Math.max(frames.slowest_ms, now - last);
    last = now;
    const middle = pen.getImageData(canvas.width / 2 - 8, canvas.height / 2 - 8, 16, 16).data;
    let seen = 0;
    for (let at = 3; at < middle.length; at += 4) seen += middle[at] > 0;
    frames.drawn += 1;
    frames.blank += seen < 256;
  }
  return frames;
}
"""


def large_photo(reading: Reading, name: str, rounds: int) -> tuple[list[float], dict[str, float]]:
    """Seconds until a photo is on the screen, by unit and view, and frames while it is zoomed and moved."""
    seconds, frames = [], {"drawn": 0, "blank": 0, "slowest_ms": 0.0}
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        sign_in(page, reading, name)
        code = page.locator("#next").get_attribute("href").rsplit("/", 1)[-1]
        for _ in range(rounds):
            page.goto("about:blank")
            began = time.monotonic()
            page.goto(f"{reading.url}/units/{code}", wait_until="commit")
            page.locator("body[data-shown]").wait_for()
            seconds.append(time.monotonic() - began)
            page.mouse.move(400, 450)
            page.evaluate(f"window.watched = ({_BLANK})()")
            for _ in range(6):
                page.mouse.wheel(0, -300)
                page.wait_for_timeout(150)
            page.mouse.down()
            page.mouse.move(650, 500, steps=10)
            page.mouse.up()
            for _ in range(4):
                page.mouse.wheel(0, 300)
                page.wait_for_timeout(150)
            seen = page.evaluate("window.watched")
            for key in ("drawn", "blank"):
                frames[key] += seen[key]
            frames["slowest_ms"] = max(frames["slowest_ms"], seen["slowest_ms"])
    return seconds, frames


# --- many readers ------------------------------------------------------------------------------------------


@dataclass
class Times:
    """How long answers took, by kind, and what went wrong."""

    ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


def reads_as_one(reading: Reading, name: str, times: Times, thought_s: float) -> None:
    """Sign in, and read every unit as the page would: page, photos, a draft with each grade, the lock."""
    rng = np.random.default_rng(abs(hash(name)) % 2**32)
    with httpx.Client(base_url=reading.url, headers={"accept": "text/html"}, timeout=30) as browser:

        def asked(kind: str, method: str, path: str, **more: object) -> httpx.Response:
            began = time.monotonic()
            answer = browser.request(method, path, **more)
            times.ms[kind].append(1000 * (time.monotonic() - began))
            if answer.status_code >= 400:
                times.errors.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return answer

        time.sleep(rng.uniform(0, 5 * thought_s))
        asked("sign in", "POST", "/sign-in", data={"name": name, "password": PASSWORD})
        for turn in range(1, 10**6):
            page = asked("page: list", "GET", "/").text
            code = page.split('id="next" href="/units/')[1].split('"')[0] if 'id="next"' in page else None
            if code is None:
                return
            unit = asked("page: unit", "GET", f"/units/{code}").text
            state = json.loads(
                unit.split('<script id="state" type="application/json">')[1].split("</script>")[0]
            )
            send = {"X-CSRF-Token": state["csrf"]}
            for view in state["views"]:
                asked("photo", "GET", f"/units/{code}/photos/{view}")
            given: dict[str, dict[str, int]] = {}
            drafts = [(r, s, v) for r, of in meant_for(code).items() for s, v in of.items()]
            for place, (region, scale, value) in enumerate(drafts, 1):
                time.sleep(rng.uniform(0.5, 1.5) * thought_s)
                given.setdefault(region, {})[scale] = value
                values = {"grades": given, "ungradable": "", "comment": "", "read": state["read"]}
                asked("grade", "PUT", f"/units/{code}/draft", json=values | {"turn": place}, headers=send)
            time.sleep(rng.uniform(0.5, 1.5) * thought_s)
            values |= {"password": PASSWORD}
            asked("lock and sign", "POST", f"/units/{code}/lock", json=values, headers=send)
            if turn > 5000:
                return


def many_readers(reading: Reading, thought_s: float) -> Times:
    """All readers at once."""
    times = Times()

    def one(name: str) -> None:
        try:
            reads_as_one(reading, name, times, thought_s)
        except Exception as error:
            times.errors.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=one, args=(name,)) for name in reading.readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _told(times: Times) -> str:
    rows = [
        "| what | answers | median, ms | 95th percentile, ms | slowest, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, ms in sorted(times.ms.items()):
        middle, most = np.percentile(ms, (50, 95))
        rows.append(f"| {kind} | {len(ms)} | {middle:.0f} | {most:.0f} | {max(ms):.0f} |")
    return "\n".join([*rows, "", f"{len(times.errors)} errors", *times.errors[:5]])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    browser = what.add_parser("browser")
    browser.add_argument("--units", type=int, default=60)
    browser.add_argument("--screenshots", type=Path)
    many = what.add_parser("many")
    many.add_argument("--readers", type=int, default=20)
    many.add_argument("--units", type=int, default=6)
    many.add_argument("--thought", type=float, default=1.0, help="seconds before each grade, on average")
    many.add_argument("--postgresql", action="store_true")
    photo = what.add_parser("photo")
    photo.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    if chosen.what == "browser":
        with reading_of(chosen.units, ["anna", "ben"]) as reading, chromium() as browser:
            outcome = read_all(browser, reading, "anna", chosen.screenshots)
        print(outcome)
        return 0 if outcome.is_perfect else 1
    if chosen.what == "photo":
        with reading_of(3, ["anna"], size=SIZE_24MP) as reading:
            seconds, frames = large_photo(reading, "anna", chosen.rounds)
        print(f"on the screen after {', '.join(f'{s:.2f}' for s in seconds)} s; {frames}")
        return 0 if max(seconds) < 1 and not frames["blank"] else 1
    names = [f"reader-{number}" for number in range(1, chosen.readers + 1)]
    if chosen.postgresql:
        with postgres_server() as server:
            return _many(chosen, names, make_database(server, "reads"))
    return _many(chosen, names, None)


def _many(chosen: argparse.Namespace, names: list[str], database: str | None) -> int:
    with reading_of(chosen.units, names, database=database) as reading:
        times = many_readers(reading, chosen.thought)
        outcome = outcome_of(reading, names)
    print(_told(times), outcome, sep="\n")
    pages = [ms for kind, all_ms in times.ms.items() if kind.startswith("page") for ms in all_ms]
    return 0 if not times.errors and outcome.is_perfect and np.percentile(pages, 95) < 200 else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())

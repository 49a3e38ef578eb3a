"""A PostgreSQL server for tests; they are skipped where none is installed (`apt-get install postgresql`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql


def _server_binary(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")) or sorted(Path("/opt/homebrew/bin").glob(name))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def own_server() -> Iterator[str]:
    """Start a server of this test's own and yield its address, a socket in a folder of its own; skip without one."""
    initdb, pg_ctl = _server_binary("initdb"), _server_binary("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server is installed here")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path may have 107 characters at most
    as_owner: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]

    def run(*command: str) -> None:
        subprocess.run([*as_owner, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    run(initdb, "-D", f"{folder}/data", "-A", "trust", "-U", "crawler", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses='' -c fsync=off -k {folder}"
    run(pg_ctl, "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        yield f"postgresql:///postgres?user=crawler&host={folder}"
    finally:
        run(pg_ctl, "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str, name: str, template: str = "") -> str:
    """Make a database on the server, empty or as the `template` is, and return its address.

    An empty one sorts texts as people do, not as bytes are: as most servers' databases do.
    """
    like = f'TEMPLATE "{template}"' if template else "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(f'CREATE DATABASE "{name}" {like}'))
    return server.replace("/postgres?", f"/{name}?")

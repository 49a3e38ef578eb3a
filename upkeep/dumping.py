"""A PostgreSQL database as a file, by the server's own tools."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from runtime.errors import UserMistake
from runtime.stop import Stop
from upkeep.tools import run_tool

PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin")


def dump_server(url: str, target: Path, stop: Stop) -> None:
    """Write one moment's state of the database into a new file, and check that it can be read."""
    address, password = split_password(url)
    run_tool(
        [find_tool("pg_dump"), "--format=custom", f"--file={target}", f"--dbname={address}"], stop, password=password
    )
    run_tool([find_tool("pg_restore"), "--list", f"--file={target.with_suffix('.list')}", str(target)], stop)
    target.with_suffix(".list").unlink()


def find_tool(name: str) -> str:
    """Return where the tool of the newest server lies; UserMistake where there is none."""
    found = [path for place in PLACES for path in Path("/").glob(f"{place[1:]}/{name}")]
    newest = str(max(found, key=lambda path: path.parts)) if found else shutil.which(name)
    if newest is None:
        raise UserMistake(
            f"{name} is needed for a backup of PostgreSQL, and is not there.",
            advice="Install the server's client tools (Debian: postgresql-client, Homebrew: libpq).",
        )
    return newest


def split_password(url: str) -> tuple[str, str]:
    """Return the address without its password, and the password: process lists are read by everybody."""
    parts = urlsplit(url)
    if not parts.password:
        return url, ""
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}")), unquote(parts.password)

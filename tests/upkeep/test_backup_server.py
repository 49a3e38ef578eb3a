"""Backups where the data set lies in PostgreSQL; skipped where no server is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from runtime.errors import OperatorNeeded, UserMistake
from tests.postgresql import new_database, own_server
from tests.rig import Rig
from tests.truth import differences
from tests.upkeep.home import run
from upkeep import backup_commands
from upkeep.dumping import find_tool, split_password
from upkeep.manifest import backups_in, load_manifest


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_server() as address:
        yield address


def newest(folder: Path) -> Path:
    return list(backups_in(folder).values())[-1]


def test_a_server_is_dumped_and_the_dump_makes_a_database_that_goes_on(server: str, tmp_path: Path) -> None:
    first, second = new_database(server, "first"), new_database(server, "second")
    rig = Rig(tmp_path / "home", DATABASE_URL=first)
    rig.run_until("BACKFILL")
    rig.close()
    run(partial(backup_commands.backup, accept=False), rig.home.root, DATABASE_URL=first)
    manifest = load_manifest(newest(rig.home.root / "backups"))
    assert manifest.crawl_database == "data/db/postgresql.dump"
    new = tmp_path / "new"
    new.mkdir()
    told = run(partial(backup_commands.restore_backup, folder=rig.home.root / "backups"), new, DATABASE_URL=second)
    assert "pg_restore --no-owner" in told
    dump = new / manifest.crawl_database
    subprocess.run([find_tool("pg_restore"), "--no-owner", f"--dbname={second}", str(dump)], check=True)
    again = Rig(new, rig.sandbox, rig.clock, DATABASE_URL=second)
    calls = len(rig.sandbox.calls)
    again.run_cycle()
    assert differences(again.rows, again.sandbox) == []
    assert "findAllListingsActive" not in {call.endpoint for call in rig.sandbox.calls[calls:]}
    again.close()


def test_a_dump_is_not_put_into_a_home_that_is_set_to_a_file(server: str, tmp_path: Path) -> None:
    address = new_database(server, "third")
    rig = Rig(tmp_path / "home", DATABASE_URL=address)
    rig.run_until("BACKFILL")
    rig.close()
    run(partial(backup_commands.backup, accept=False), rig.home.root, DATABASE_URL=address)
    (tmp_path / "new").mkdir()
    with pytest.raises(UserMistake, match="DATABASE_URL names the other kind"):
        run(partial(backup_commands.restore_backup, folder=rig.home.root / "backups"), tmp_path / "new")


def test_a_server_that_is_gone_gives_no_backup(server: str, tmp_path: Path) -> None:
    address = new_database(server, "fourth")
    rig = Rig(tmp_path / "home", DATABASE_URL=address)
    rig.run_until("BACKFILL")
    rig.close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute('DROP DATABASE "fourth"')
    with pytest.raises(OperatorNeeded, match="fourth"):
        run(partial(backup_commands.backup, accept=False), rig.home.root, DATABASE_URL=address)
    assert not (rig.home.root / "backups").exists()


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://me:s%40fe@host:5/db?x=1", "postgresql://me@host:5/db?x=1", "s@fe"),
        ("postgresql://me@host/db", "postgresql://me@host/db", ""),
        ("postgresql:///db?user=me&host=/tmp", "postgresql:///db?user=me&host=/tmp", ""),
    ],
)
def test_a_password_is_kept_out_of_the_process_list(url: str, address: str, password: str) -> None:
    assert split_password(url) == (address, password)

"""The same code on PostgreSQL; skipped where no server is installed (`apt-get install postgresql`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playhouse.schema_diff import diff_models

from models import CRAWLER_MODELS
from tests.rig import Rig
from tests.truth import differences


def _server_binary(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")) or sorted(Path("/opt/homebrew/bin").glob(name))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server of this test's own, reached through a socket in a folder of its own."""
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


def test_a_whole_cycle_on_postgresql_collects_exactly_the_truth(server: str, tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home", DATABASE_URL=server)
    rig.run_until("REVIEWS")  # a restart in the middle, from what the database holds
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []
    calls = len(rig.sandbox.calls)
    rig.run_cycle(2)
    second = [call.endpoint for call in rig.sandbox.calls[calls:]]
    assert set(second) == {"findAllListingsActive", "getListingsByListingIds"}
    assert differences(rig.rows, rig.sandbox) == []
    assert rig.database is not None
    assert not diff_models(rig.database, CRAWLER_MODELS)
    rig.close()

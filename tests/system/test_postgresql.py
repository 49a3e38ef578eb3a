"""The same code on PostgreSQL; skipped where no server is installed (`apt-get install postgresql`)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playhouse.schema_diff import diff_models
from rich.console import Console

from crawler.store import counts, failures
from imaging import archive_commands, commands
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus
from runtime.database import LOCK_MILLISECONDS, open_database, write_briefly
from runtime.errors import OperatorNeeded
from runtime.settings import load_settings
from sandbox import Sandbox, SandboxServer, SandboxSettings
from tests.pictures import CHEAP, enqueue, shown
from tests.postgresql import own_server
from tests.rig import Rig
from tests.truth import differences


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_server() as address:
        yield address


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


def test_a_brief_write_ends_its_waits_before_the_server_ends_one_of_two_that_wait_for_each_other(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(server, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    with psycopg.connect(server) as other:
        ((patience,),) = other.execute("SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'")
        assert patience > LOCK_MILLISECONDS
        monkeypatch.setattr("runtime.database.LOCK_MILLISECONDS", 10)
        other.execute("LOCK TABLE failed_items IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperatorNeeded, match="held by another process"):
            write_briefly(database, failures.items)
        other.rollback()
    assert write_briefly(database, failures.items) == []
    database.close()


def test_pictures_are_downloaded_audited_archived_and_shown_on_postgresql(server: str, tmp_path: Path) -> None:
    sandbox = Sandbox(SandboxSettings(**CHEAP))
    database = open_database(server, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    ImageStatus.delete().execute()
    with database.atomic():
        enqueue(shown(sandbox))
    database.close()
    number = len({picture.image_id for picture in shown(sandbox)})
    out = io.StringIO()
    console = Console(file=out, width=160)
    with SandboxServer(sandbox) as host:
        told = {"DATABASE_URL": server, "ETSY_CDN_URL": host.cdn_url, "MIN_FREE_GB": "0"}
        settings = load_settings(tmp_path, {**told, "ARCHIVE_RAW": "1", "SHARD_PICTURES": "80"})
        for command in (commands.download, archive_commands.archive, archive_commands.primary):
            assert command(settings, console) == 0
    assert f"{number} pictures are there now. Nothing is left in the queue." in out.getvalue()
    assert f"{number // 80} shards of 80 pictures written. {number % 80} downloaded pictures wait" in out.getvalue()
    listings = len({picture.listing_id for picture in shown(sandbox)})
    assert f"{listings} placed, 0 changed, 0 already there" in out.getvalue()
    database = open_database(server, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    for check in commands.file_checks(settings).values():
        found = check(1, 0)
        assert (found.gaps, found.strays) == ({}, {})
    assert counts.pictures() == {"queued": 0, "done": ImageStatus.select().count()}
    database.close()

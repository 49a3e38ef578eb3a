"""The commands in this process: what they take, what they say, and that a mistake changes nothing."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models.publishing import File, Job, ServiceUsage
from publishing import jobs
from publishing.commands import publish
from publishing.moments import moment
from runtime.errors import OperatorNeeded, UserMistake
from runtime.settings import load_settings
from tests.publishing.bench import CHAIR, DOORS, Bench, draw, no_pace
from tests.publishing.deaths import Count, dies_at
from tests.upkeep.home import make_home, run
from upkeep.backup_commands import backup

Tell = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def tell(home: Path, *arguments: str, status: int = 0, **settings: str) -> str:
    """Run `publish` with these arguments and return what it says."""
    parser = argparse.ArgumentParser()
    DOORS["publish"].arguments(parser)
    out = io.StringIO()
    told = load_settings(home, {"ETSY_API_KEY": "key:secret", **settings})
    assert publish(parser.parse_args(arguments), told, Console(file=out, width=200), no_pace) == status
    return out.getvalue()


def work(home: Path) -> None:
    bench = Bench(home)
    bench.drain()
    bench.close()


def ids_of(home: Path) -> list[str]:
    found = json.loads(tell(home, "status", "--json"))
    return [row["id"] for row in found["waiting_for_approval"]]


def read(home: Path, query: Callable[[], Any]) -> Any:
    bench = Bench(home)
    try:
        return query()
    finally:
        bench.close()


def test_a_sidecar_tells_title_species_and_more(home: Path, tmp_path: Path) -> None:
    art = tmp_path / "art"
    draw(art / "a.png")
    told = {"title": "Dawn", "species": "owl", "hashtags": ["mine"], "drive_file_id": "d"}
    (art / "a.json").write_text(json.dumps(told), encoding="utf-8")
    tell(home, "ingest", str(art))
    work(home)
    row = read(home, File.get)
    assert (row.species, row.drive_file_id, row.status) == ("owl", "d", "processed")
    metadata = json.loads(row.metadata_json)
    assert (metadata["title"], metadata["hashtags"]) == ("Dawn", ["mine"])


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ("{no json", "a.json is no JSON"),
        ("[]", "must be an object"),
        ('{"colour": "red"}', "not 'colour'"),
        ('{"title": 3}', "title must be a text"),
    ],
)
def test_a_bad_sidecar_leaves_its_picture_out_and_no_other(
    home: Path, tmp_path: Path, sidecar: str, words: str
) -> None:
    art = tmp_path / "art"
    draw(art / "a.png")
    draw(art / "b.png", 50, 50)
    (art / "a.json").write_text(sidecar, encoding="utf-8")
    told = tell(home, "ingest", str(art), status=2)
    assert words in told and "1 new, 0 known, 1 left out" in told


def test_a_picture_is_ingested_once_under_whatever_name_and_again_once_its_file_is_deleted(
    home: Path, tmp_path: Path
) -> None:
    art = tmp_path / "art"
    body = draw(art / "a.png").read_bytes()
    (art / "b.png").write_bytes(body)
    (art / ".hidden.png").write_bytes(body)
    (art / "notes.txt").write_text("no picture")
    assert "1 new, 1 known" in tell(home, "ingest", str(art))
    work(home)
    assert "0 new, 2 known" in tell(home, "ingest", str(art))
    (file_id,) = ids_of(home)
    bench = Bench(home)
    bench.enqueue("DeleteFile", {}, file_id)
    bench.drain()
    bench.close()
    assert "1 new, 1 known" in tell(home, "ingest", str(art))


def test_files_are_approved_all_or_none(home: Path, tmp_path: Path) -> None:
    draw(tmp_path / "art" / "a.png")
    tell(home, "ingest", str(tmp_path / "art"))
    work(home)
    (file_id,) = ids_of(home)
    details = ("--price", "45", "--taxonomy-id", str(CHAIR))
    for wrong in ("nobody", file_id):
        with pytest.raises(UserMistake):
            tell(home, "approve", file_id, wrong, *details)
    assert ids_of(home) == [file_id]
    assert "1 approved" in tell(home, "approve", file_id, *details)
    with pytest.raises(UserMistake, match="is approved"):
        tell(home, "approve", file_id, *details)
    assert "1 to be listed" in tell(home, "list", file_id, "--platform", "ebay", *details)
    listings = Job.select().where(Job.command_type == "CreateListing").order_by(Job.created_at)
    payloads = read(home, lambda: [json.loads(str(row.payload_json)) for row in listings])
    assert [payload["platform"] for payload in payloads] == ["etsy", "ebay"]
    assert payloads[0] == {
        "platform": "etsy",
        "price": 45.0,
        "taxonomy_id": CHAIR,
        "quantity": 1,
        "who_made": "i_did",
        "when_made": "made_to_order",
    }


@pytest.mark.parametrize("price", ["nan", "-1", "inf", "0", "cheap"])
def test_a_price_that_is_none_is_refused_at_once(home: Path, price: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        tell(home, "approve", "a", "--price", price, "--taxonomy-id", "1")
    assert left.value.code == 2 and "--price" in capsys.readouterr().err


def test_status_names_what_is_stuck_and_what_has_failed_and_why(home: Path) -> None:
    bench = Bench(home)
    stuck_file = bench.ingested()
    failed = bench.enqueue("Explode")
    bench.drain()
    stuck_job = bench.enqueue("UpscaleImage", {})
    with bench.database.atomic():
        jobs.claim(stuck_job, None, bench.clock.now() - 3600)
    bench.close()
    told = tell(home, "status")
    assert f"{stuck_file} heron - misty morning.png is ingested" in told
    assert f"{failed} Explode: There is no command 'Explode'." in told
    assert f"{stuck_job} UpscaleImage runs since" in told
    assert "Files: 1 ingested, 0 processing" in told


def test_failed_jobs_are_tried_again_by_name_or_all(home: Path) -> None:
    bench = Bench(home)
    ids = [bench.enqueue("Explode") for _ in range(3)]
    bench.drain()
    bench.close()
    assert "1 failed jobs" in tell(home, "retry", ids[0])
    assert "2 failed jobs" in tell(home, "retry")


def test_usage_is_told_by_day_and_service_of_both_databases_with_its_cost(tmp_path: Path) -> None:
    rig = make_home(tmp_path / "home")
    calls = len(rig.sandbox.calls)
    bench = Bench(rig.home.root)
    told = {"service": "upscaler", "endpoint": "enlarge", "rate_limit_remaining": 7}
    ServiceUsage.insert(**told, request_count=3, recorded_at=moment(rig.clock.now())).execute()
    bench.close()
    days = str(9000)
    found = json.loads(tell(rig.home.root, "usage", "--json", "--days", days, CALL_COSTS="upscaler:enlarge=0.5"))
    by_service: dict[str, int] = {}
    for row in found:
        by_service[row["service"]] = by_service.get(row["service"], 0) + row["calls"]
    assert by_service == {"etsy": calls, "upscaler": 3}
    (upscaler,) = [row for row in found if row["service"] == "upscaler"]
    assert (upscaler["cost"], upscaler["remaining"]) == (1.5, 7)
    assert "upscaler" in tell(rig.home.root, "usage", "--days", days)
    with pytest.raises(UserMistake, match="CALL_COSTS"):
        tell(rig.home.root, "usage", CALL_COSTS="free")


def test_a_lost_database_is_not_begun_anew_while_its_pictures_are_there(home: Path) -> None:
    bench = Bench(home)
    bench.ingested()
    bench.close()
    for path in (home / "data").glob("fieldfen.db*"):
        path.unlink()
    with pytest.raises(OperatorNeeded, match="has its pictures"):
        tell(home, "retry")
    assert not (home / "data" / "fieldfen.db").exists()


def test_a_home_that_was_crawled_before_gets_its_publishing_database(tmp_path: Path) -> None:
    rig = make_home(tmp_path / "home")
    assert "0 failed jobs" in tell(rig.home.root, "retry")


def test_a_backup_has_the_publishing_database_as_it_is(tmp_path: Path) -> None:
    rig = make_home(tmp_path / "home")
    bench = Bench(rig.home.root)
    file_id = bench.processed()
    kept = tmp_path / "kept"
    kept.mkdir()
    run(partial(backup, accept=True), rig.home.root, BACKUP_FOLDERS=str(kept))
    bench.close()
    (made,) = [path for path in kept.iterdir() if path.is_dir()]
    (tmp_path / "again" / "data").mkdir(parents=True)
    (tmp_path / "again/data/fieldfen.db").write_bytes((made / "data" / "fieldfen.db").read_bytes())
    assert ids_of(tmp_path / "again") == [file_id]


def carry_out(home: Path, count: Count) -> None:
    bench = Bench(home)
    connect: Any = bench.database.connection
    connect().set_trace_callback(lambda statement: count())
    bench.drain()


@pytest.mark.slow
def test_wherever_the_worker_dies_pictures_and_rows_end_as_if_it_had_not(tmp_path: Path) -> None:
    draw(tmp_path / "art" / "heron - dawn.png", 9, 6)
    points = 0
    for event in range(1, 400):
        home = tmp_path / str(event)
        home.mkdir()
        tell(home, "ingest", str(tmp_path / "art"))
        died = dies_at(event, partial(carry_out, home))
        bench = Bench(home)
        bench.clock.ahead = 3600.0
        bench.drain()
        (row,) = File.select()
        assert (row.status, row.width, row.aspect_ratio) == ("processed", 18, "3:2")
        assert jobs.counts() == {"pending": 0, "running": 0, "completed": 3, "failed": 0}
        lying = [path.name for path in bench.shelf.root.rglob("*") if path.is_file()]
        assert sorted(lying) == sorted([str(row.processed_filename), f"{row.id}.png"])
        bench.close()
        if not died:
            break
        points += 1
    assert points >= 60, "the deaths did not strike"


def test_the_token_is_a_secret_and_a_wrong_setting_is_named(home: Path) -> None:
    settings = load_settings(home, {"ETSY_OAUTH_TOKEN": "12345.very-secret"})
    assert "12345.very-secret" in settings.secrets and "very-secret" not in repr(settings)
    wrong = {"ETSY_OAUTH_TOKEN": "12345.very secret", "ETSY_SHOP_ID": "-1", "WEBHOOK_PORT": "70000"}
    with pytest.raises(UserMistake) as mistake:
        load_settings(home, wrong)
    assert all(name in str(mistake.value) for name in wrong) and "very secret" not in str(mistake.value)

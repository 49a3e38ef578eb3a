"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from rich.console import Console

from crawler.look_commands import tell_status
from runtime.clock import SystemClock, iso
from runtime.errors import ServerTrouble
from runtime.instance import single_instance
from runtime.settings import Home
from tests.upkeep.home import make_home, settings_of
from upkeep.doctor import ROOT, pins
from upkeep.doctor_commands import doctor
from upkeep.records import Records

Key = Callable[..., tuple[int, str]]


def answers(status: int, behind_seconds: float = 0.0) -> Key:
    """Return what tries the key at a server that answers so; its clock is that much behind."""

    def answer(*_: object) -> tuple[int, str]:
        return status, format_datetime(datetime.now(UTC) - timedelta(seconds=behind_seconds), usegmt=True)

    return answer


def offline(*_: object) -> tuple[int, str]:
    raise ServerTrouble("https://example.invalid does not answer (no such host).", endpoint="ping")


def examine(root: Path, try_key: Key | None = None, **told: str) -> tuple[int, str]:
    out = io.StringIO()
    settings = settings_of(root, **{"MIN_FREE_GB": "0", **told})
    status = doctor(settings, Console(file=out, width=300), tell_status, try_key or answers(200))
    return status, out.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rig = make_home(tmp_path / "home")
    (rig.home.root / ".env").chmod(0o600)
    (rig.home.root / "settings.toml").chmod(0o600)
    Records(rig.home, "backup").note(Path("/b"), iso(SystemClock().now()))
    return rig.home.root


def test_a_home_that_is_well_gets_nothing_but_ok(root: Path) -> None:
    before = content(root)
    status, told = examine(root)
    assert status == 0
    assert "0 bad, 0 doubtful" in told
    assert content(root) == before


def content(root: Path) -> dict[Path, bytes]:
    """Return every file but those that SQLite makes beside a database for whoever reads it."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("try_key", "expected", "bad"),
    [
        (answers(403), "!! key: Etsy refuses it (HTTP 403).", 2),
        (answers(429), "?  key: The day's calls are used up", 0),
        (answers(503), "?  key: The server answers HTTP 503", 0),
        (offline, "!! network: https://example.invalid does not answer", 2),
        (answers(200, 320), "!! clock: It is +3", 2),
        (answers(200, -300), "!! clock: It is -", 2),
    ],
)
def test_the_one_call_tells_of_network_key_and_clock(root: Path, try_key: Key, expected: str, bad: int) -> None:
    status, told = examine(root, try_key)
    assert status == bad
    assert expected in told


def test_no_call_is_made_beside_a_crawl(root: Path) -> None:
    with single_instance(Home(root).lock, SystemClock()):
        status, told = examine(root, offline)
    assert status == 0
    assert "in use by the crawl" in told and "at work: crawler: process" in told


def test_a_damaged_database_is_bad_and_the_other_checks_go_on(root: Path) -> None:
    with (root / "data" / "db" / "etsy_data.db").open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff" * 100_000)
    status, told = examine(root)
    assert status == 2
    assert "!! database:" in told and "at work: nobody" in told


def test_what_is_odd_is_said_with_what_to_do(root: Path) -> None:
    (root / ".env").chmod(0o644)
    (root / "KILL").touch()
    Records(Home(root), "backup").note(Path("/b"), iso(1.7e9))
    status, told = examine(root)
    assert status == 0
    assert f"chmod 600 {root / '.env'}" in told
    assert "KILL lies there. The next start removes it." in told
    assert "the last is of 2023-11-14T22:13:20Z Schedule it" in told
    assert "0 bad, 3 doubtful" in told


def test_a_full_disk_and_a_failed_backup_are_bad(root: Path) -> None:
    Records(Home(root), "backup").note(Path("/b"), iso(1.8e9), trouble="There is no folder /b.")
    status, told = examine(root, MIN_FREE_GB="1000000000")
    assert status == 2
    assert "MIN_FREE_GB is 1e+09: downloads wait. Free some space." in told
    assert "backup: /b: There is no folder /b." in told


def test_a_home_that_is_new_is_told_how_to_begin(tmp_path: Path) -> None:
    status, told = examine(tmp_path)
    assert status == 0
    assert "Start: python run.py" in told and "None was ever made" in told
    assert list(tmp_path.rglob("*.db")) == []


def test_the_pins_are_read_from_every_line_of_the_requirements() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert len(list(pins(ROOT / "requirements.txt"))) == text.count("==")

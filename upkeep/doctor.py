"""Is all well with this home and this machine? Each check says what it found, and what to do where it is not well."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime.clock import EARLIEST, iso, parse_http_date, parse_iso
from runtime.errors import CrawlError, Stopped
from runtime.instance import describe_owner, is_running
from runtime.parts import Parts
from runtime.work import BACKUP, CRAWL, STOP_NAMES, WORKS
from upkeep.databases import check_database
from upkeep.ends import AT_WORK, load_end
from upkeep.records import Records

OK, DOUBTFUL, BAD = "ok", "doubtful", "bad"
LEAST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(?P<version>[^\s;]+)")
CLOCK_SECONDS = 60.0  # the clock may be wrong by, before rows carry times that mislead
WAL_BYTES = 2_000_000_000
DAY_SECONDS = 86_400.0
OTHER_KILLS = ("KILL_DL", "KILL_ORCH", "KILL_EMBED", "KILL_BG")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how bad it is (OK, DOUBTFUL, BAD), about what, in words, and what to do."""

    level: str
    about: str
    words: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at. `told` is what `status --json` tells, empty where nobody can tell.

    `try_key` makes one call and returns its status and the server's time; CrawlError without an answer.
    """

    parts: Parts
    told: Mapping[str, Any]
    try_key: Callable[[], tuple[int, str]]


def examine(patient: Patient) -> Iterator[Finding]:
    """Return what each check found, one after the other."""
    for about, check in CHECKS.items():
        try:
            yield from check(patient)
        except Stopped:
            raise
        except CrawlError as error:
            yield Finding(BAD, about, str(error), error.advice)


def _python(patient: Patient) -> Iterator[Finding]:
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        yield Finding(BAD, "python", here, "Install Python 3.11 or newer, then `make clean run`.")
    else:
        yield Finding(OK, "python", here)


def _packages(patient: Patient) -> Iterator[Finding]:
    wrong = []
    for name, wanted in pins(ROOT / "requirements.txt"):
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not there"
        if found != wanted:
            wrong.append(f"{name} {found} (wanted {wanted})")
    if wrong:
        yield Finding(DOUBTFUL, "packages", ", ".join(wrong), "Install them: pip install -r requirements.txt")
    else:
        yield Finding(OK, "packages", "as requirements.txt names them")


def pins(path: Path) -> Iterator[tuple[str, str]]:
    """Return the packages that a requirements file pins, with their versions."""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = PIN.match(line)
        if match:
            yield match["name"], match["version"]


def _folders(patient: Patient) -> Iterator[Finding]:
    """Look whether what is written to can be written."""
    home = patient.parts.home
    there = [folder for folder in (home.root, home.data, home.checkpoints, home.images, home.logs) if folder.exists()]
    bad = [str(folder) for folder in there if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)]
    if bad:
        yield Finding(BAD, "permissions", f"{', '.join(bad)} cannot be written by this user.", "Give it the right.")
    else:
        yield Finding(OK, "permissions", f"{home.root} can be written")
    for name in (".env", "settings.toml"):
        path = home.root / name
        if path.exists() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            yield Finding(
                DOUBTFUL, "permissions", f"{path} may be read by others, the key with it.", f"chmod 600 {path}"
            )


def _disks(patient: Patient) -> Iterator[Finding]:
    parts, known = patient.parts, set[int]()
    least = parts.settings.min_free_gb
    for folder in (parts.home.root, parts.home.data, parts.home.images):
        if not folder.exists() or folder.stat().st_dev in known:
            continue
        known.add(folder.stat().st_dev)
        free = shutil.disk_usage(folder).free / 1e9
        words = f"{free:,.1f} GB free on the disk of {folder}"
        if free < least:
            yield Finding(BAD, "disk", f"{words}, MIN_FREE_GB is {least:g}: downloads wait.", "Free some space.")
        else:
            yield Finding(OK, "disk", words)


def _database(patient: Patient) -> Iterator[Finding]:
    parts = patient.parts
    path = parts.database_path
    if path is None:
        yield Finding(OK, "database", "a PostgreSQL server; its own tools check it")
        return
    if not path.exists():
        yield Finding(DOUBTFUL, "database", f"There is none at {path} yet.", "Start: python run.py")
        return
    # Under a writer the file alone is no database: what the log holds belongs to it.
    counts = check_database(path, parts.stop, alone=False)
    yield Finding(OK, "database", f"{path}: sound, {sum(counts.values()):,} rows, {path.stat().st_size / 1e9:.2f} GB")
    log_of_commits = path.with_name(f"{path.name}-wal")
    if log_of_commits.exists() and log_of_commits.stat().st_size > WAL_BYTES:
        yield Finding(
            DOUBTFUL,
            "database",
            f"{log_of_commits} has {log_of_commits.stat().st_size / 1e9:.1f} GB: some program reads without an end.",
            "Close programs that have the database open (Datasette, sqlite3).",
        )


def _clock(patient: Patient) -> Iterator[Finding]:
    now = patient.parts.clock.now()
    if now < EARLIEST:
        yield Finding(BAD, "clock", f"It says {iso(now)}, which cannot be.", "Set it.")


def _network(patient: Patient) -> Iterator[Finding]:
    """Make the one call: it tells of the network, the key and the clock."""
    settings, running = patient.parts.settings, bool(patient.told.get("running"))
    if not settings.key_header:
        yield Finding(BAD, "key", "There is none.", "Set ETSY_API_KEY and ETSY_SHARED_SECRET, for example in .env.")
        return
    if running:
        last = patient.told.get("last_call_at") or "never"
        yield Finding(OK, "key", f"in use by the crawl, last at {last}; no call is made beside it")
        return
    if ":" not in settings.key_header:
        yield Finding(DOUBTFUL, "key", "ETSY_SHARED_SECRET is not set; Etsy refuses keys without it.", "Set it.")
    try:
        status, date = patient.try_key()
    except CrawlError as error:
        yield Finding(BAD, "network", str(error), "Is this computer online? Is ETSY_API_URL right?")
        return
    yield Finding(OK, "network", f"{settings.etsy_api_url} answers")
    yield _judge_key(status)
    yield from _judge_clock(date, patient.parts.clock.now())


def _judge_key(status: int) -> Finding:
    if status in (401, 403):
        return Finding(BAD, "key", f"Etsy refuses it (HTTP {status}).", "Look at your app's page at Etsy; set it anew.")
    if status == 429:
        return Finding(DOUBTFUL, "key", "The day's calls are used up (HTTP 429).", "The crawl waits by itself.")
    if status != 200:
        return Finding(DOUBTFUL, "key", f"The server answers HTTP {status}.", "Try again later.")
    return Finding(OK, "key", "Etsy takes it")


def _judge_clock(date: str, now: float) -> Iterator[Finding]:
    theirs = parse_http_date(date)
    if theirs is None:
        return
    if abs(now - theirs) > CLOCK_SECONDS:
        yield Finding(BAD, "clock", f"It is {now - theirs:+,.0f} s off the server's.", "Set it; turn on network time.")
    else:
        yield Finding(OK, "clock", f"within {CLOCK_SECONDS:.0f} s of the server's")


def _at_work(patient: Patient) -> Iterator[Finding]:
    """Tell who works on the home. A lock is never stale: the system frees it however a process ends."""
    home = patient.parts.home
    names = [name for name in (CRAWL, *WORKS) if is_running(home.lock_of(name))]
    for name in names:
        yield Finding(OK, "at work", f"{name}: {describe_owner(home.lock_of(name).with_suffix('.owner.json'))}")
    if not names:
        yield Finding(OK, "at work", "nobody; no lock is held")
    end = load_end(home)
    if end is not None and end.status > 0 and CRAWL not in names:
        yield Finding(BAD, "last end", f"The crawl ended by itself at {end.at}: {end.words}", "Mend it: python run.py")
    if end is not None and end.status == AT_WORK and CRAWL not in names:
        words = f"The crawl that was started at {end.at} is gone without a word."
        yield Finding(DOUBTFUL, "last end", words, "Start it: python run.py")


def _kill_files(patient: Patient) -> Iterator[Finding]:
    home = patient.parts.home
    lying = [path.name for path in home.kill_files(*STOP_NAMES, *OTHER_KILLS) if os.path.lexists(path)]
    if lying and is_running(home.lock):
        yield Finding(
            DOUBTFUL, "KILL files", f"{', '.join(lying)} lies there: a stop is under way.", "Wait ten seconds."
        )
    elif lying:
        yield Finding(DOUBTFUL, "KILL files", f"{', '.join(lying)} lies there.", "The next start removes it.")


def _backups(patient: Patient) -> Iterator[Finding]:
    parts = patient.parts
    for folder, record in Records(parts.home, BACKUP).load().items():
        if record.trouble:
            yield Finding(BAD, "backup", f"{folder}: {record.trouble}", "")
        else:
            age = (parts.clock.now() - parse_iso(record.good_at)) / DAY_SECONDS
            level = OK if age < 2 else DOUBTFUL
            advice = "" if age < 2 else "Schedule it: python run.py schedule"
            yield Finding(level, "backup", f"{folder}: the last is of {record.good_at}", advice)
    if not Records(parts.home, BACKUP).load():
        yield Finding(DOUBTFUL, "backup", "None was ever made.", "python run.py backup, then python run.py schedule")


CHECKS: Mapping[str, Callable[[Patient], Iterator[Finding]]] = {
    "python": _python,
    "packages": _packages,
    "permissions": _folders,
    "disk": _disks,
    "database": _database,
    "clock": _clock,
    "network": _network,
    "at work": _at_work,
    "KILL files": _kill_files,
    "backup": _backups,
}

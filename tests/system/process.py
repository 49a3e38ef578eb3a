"""The crawler as a person meets it: `run.py` as a process, on a home of its own, against a sandbox over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import Sandbox, SandboxServer
from sandbox.answer import Call
from tests.pictures import Shown, fill
from tests.system.data_sets import NOT_YET, DataSet, SqliteFile
from tests.truth import COLLECTED_TABLES, differences

ROOT = Path(__file__).resolve().parents[2]
KEYSTRING, SECRET = "kq7w2zp9mh4x", "vt3r8ybn6d"
SEARCH, BATCH = "findAllListingsActive", "getListingsByListingIds"
START_SECONDS = 30.0  # how long a start may take on a busy machine
STOP_SECONDS = 10.0  # how long a stop may take, by contract
LOOK_SECONDS, SLEEPERS_LOOK_SECONDS = 0.005, 0.05
FAST = 200.0  # calls a second where the limit is not what is tested
UNHURRIED = 2.0  # calls a second, so few that a stop comes where it was asked for, on a busy machine too


class Crawler:
    """One home and the process that works on it; `settings` are environment variables on top of the needed ones."""

    def __init__(
        self,
        folder: Path,
        server: SandboxServer,
        rate: float | None = FAST,
        data_set: DataSet | None = None,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.data_set: DataSet = data_set or SqliteFile(self.database)
        self.sandbox: Sandbox = server.sandbox
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "CRAWLER_HOME": str(self.home),
            "ETSY_API_URL": server.api_url,
            "ETSY_CDN_URL": server.cdn_url,
            "ETSY_API_KEY": KEYSTRING,
            "ETSY_SHARED_SECRET": SECRET,
            **settings,
        }
        if isinstance(self.data_set, SqliteFile):
            self._leave_out_psycopg()
        else:
            self.environment.setdefault("DATABASE_URL", self.data_set.url)
        self.program = [sys.executable, "run.py"]
        self.process: subprocess.Popen[bytes] | None = None
        self.lives = 0
        self._life_of: dict[int, str] = {}  # by the process's number
        self.data.mkdir(parents=True, exist_ok=True)
        if rate is not None:
            self.allow(rate)

    def _leave_out_psycopg(self) -> None:
        """Have the processes do without the PostgreSQL driver, as most installations do; its import is slow."""
        path = self.folder / "left-out"
        path.mkdir(exist_ok=True)
        (path / "psycopg.py").write_text("raise ImportError", encoding="utf-8")
        self.environment["PYTHONPATH"] = str(path)

    @property
    def data(self) -> Path:
        return self.home / "data" / "db"

    @property
    def database(self) -> Path:
        return self.data / "etsy_data.db"

    @property
    def log(self) -> str:
        """What stands in the log file."""
        path = self.home / "logs" / "crawler.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def output(self) -> str:
        """What the last process that was started has printed, errors included."""
        return self._output_path(self.lives).read_text(encoding="utf-8")

    def allow(self, rate: float) -> None:
        """Write how many calls a second the crawler may make."""
        (self.data / "qps_config.json").write_text(json.dumps({"qps": rate}), encoding="utf-8")

    # Processes

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start to crawl, or a command that runs on."""
        assert self.process is None or self.process.poll() is not None, "this crawler runs already"
        self.process = self.spawn(*arguments)
        return self.process

    def spawn(self, *arguments: str, shown: int | None = None) -> subprocess.Popen[bytes]:
        """Start a process, whatever else runs on the home; `start` is what most tests want.

        `shown` is the descriptor to which it prints, where that is no file.
        """
        self.lives += 1
        life = f"life-{self.lives}"
        with self._output_path(self.lives).open("wb") as output:
            process = subprocess.Popen(
                [*self.program, *arguments],
                cwd=ROOT,
                env={**self.environment, "PGAPPNAME": life},
                stdin=subprocess.DEVNULL,
                stdout=output if shown is None else shown,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the tests is not one at the crawler
            )
        self._life_of[process.pid] = life
        return process

    def run(self, *arguments: str, seconds: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "run.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, which must be alive."""
        assert self.process is not None and self.process.poll() is None, f"it has ended:\n{self.output}"
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process as a power cut would; it must have been alive."""
        status = self.kill_if_alive()
        assert status == -signal.SIGKILL, f"it had ended before the kill, with {status}:\n{self.output}"

    def kill_if_alive(self, group: bool = False) -> int:
        """Kill the process, or its whole group; return the exit status, its own where it had ended before."""
        assert self.process is not None
        if group and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.send_signal(signal.SIGKILL)
        status = self.process.wait(STOP_SECONDS)
        self.data_set.settle(self._life_of[self.process.pid])
        return status

    def stop(self) -> int:
        """Stop it with a KILL file and return the exit status."""
        (self.home / "KILL").touch()
        return self.wait_for_end()

    def wait_for_end(self, seconds: float = STOP_SECONDS) -> int:
        """Return the exit status, at the latest after so many seconds."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s; it printed:\n{self.output}") from None

    def end(self) -> None:
        """Leave no process behind, however the test went."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def fill(self, listings: int | None = None) -> list[Shown]:
        """Queue the pictures of the market's first so many listings; return them."""
        return fill(self.home, self.sandbox, listings, self.data_set.url)

    # Waiting

    def wait_until(
        self, what: str, condition: Callable[[], bool], seconds: float = START_SECONDS, every: float = LOOK_SECONDS
    ) -> None:
        """Look until the condition holds; fail with `what` where the time is over or the process has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process is not None and self.process.poll() is not None and not condition():
                raise AssertionError(f"it ended with {self.process.returncode} before {what}:\n{self.output}")
            if time.monotonic() > deadline:
                place = f"the position is {self.position()}, {len(self.sandbox.calls)} calls were made"
                raise AssertionError(f"not within {seconds:g} s: {what}; {place}; it printed:\n{self.output}")
            time.sleep(every)

    def wait_for_calls(self, number: int) -> None:
        """Wait until the sandbox has got so many calls in all."""
        self.wait_until(f"call {number}", lambda: len(self.sandbox.calls) >= number)

    def wait_for_state(self, state: str, cycle: int = 1, reason: str | None = None, seconds: float = 60.0) -> None:
        """Wait until the database says that the machine stands in this state, in this cycle or later."""

        def is_there() -> bool:
            position = self.position()
            if position is None or position["state"] != state or position["cycle"] < cycle:
                return False
            return reason is None or position["cursor"].get("reason") == reason

        every = SLEEPERS_LOOK_SECONDS if state == "SLEEP" else LOOK_SECONDS  # no other state lasts
        self.wait_until(f"{state} of cycle {cycle}", is_there, seconds, every)

    def crawl_to_sleep(self, cycle: int = 1) -> None:
        """Crawl until the cycle's sleep and stop there."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.wait_for_state("SLEEP", cycle, "cycle")
        assert self.stop() == 0, self.output

    # What the database says

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what the database answers; it is opened for reading only."""
        return self.data_set.rows(query, *values)

    def state(self, key: str) -> Any:
        """Return the value under a key of sync_state, None while there is none."""
        try:
            found = self.rows("SELECT value FROM sync_state WHERE key = ?", key)
        except NOT_YET:
            return None
        return json.loads(found[0][0]) if found else None

    def position(self) -> Any:
        """Return where the database says that the crawl stands, None before the first start."""
        return self.state("position")

    def write(self, query: str, *values: Any) -> None:
        """Change the database by hand, as a person with `sqlite3` would; nothing may run meanwhile."""
        self.data_set.write(query, *values)

    def save_state(self, key: str, value: Any) -> None:
        """Put a value under a key of sync_state by hand."""
        text = value if isinstance(value, str) else json.dumps(value)
        kept = "ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
        self.write(f"INSERT INTO sync_state (key, value) VALUES (?, ?) {kept}", key, text)

    def calls(self, *endpoints: str, since: int = 0) -> list[Call]:
        """Return the calls that the sandbox got, of these endpoints (none named: of all)."""
        return [call for call in self.sandbox.calls_since(since) if not endpoints or call.endpoint in endpoints]

    def _output_path(self, life: int) -> Path:
        return self.folder / f"output-{life}.txt"


EARLIER = "(SELECT COUNT(*) FROM intervals AS earlier WHERE earlier.id < {0})"
PLACE_OF_INTERVAL = f"CASE WHEN {{0}} IS NOT NULL THEN {EARLIER} END"
OF_INTERVALS = {
    (table, name): PLACE_OF_INTERVAL.format(f"{table}.{name}")
    for table, name in (("intervals", "id"), ("intervals", "parent_id"), ("indexed_listings", "last_interval_id"))
}


def content(crawler: Crawler) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that the crawl writes, without the moments, and without how far the downloads are.

    Of dynamic rows what they say counts once: after a day without calls some figures are read again. Of intervals their
    order counts: a server's numbers go on where a transaction has died.
    """
    found = {}
    for table in TABLES:
        columns = [
            OF_INTERVALS.get((table, name), name)
            for name in crawler.data_set.columns(table)
            if not is_moment(name) and (table, name) not in OF_DOWNLOADS
        ]
        assert columns, f"there is no table {table}"
        kind = "DISTINCT" if table.endswith("_dynamic") else "ALL"
        found[table] = sorted(crawler.rows(f"SELECT {kind} {', '.join(columns)} FROM {table}"), key=repr)
    return found


def assert_same_end(whole: Crawler, other: Crawler) -> None:
    """Hold the other crawl's data set against the market and, row for row, against that of the crawl left alone."""
    wrong = differences(other.rows, other.sandbox)
    assert wrong == [], f"{len(wrong)} differences from the market, such as {wrong[:3]}"
    assert_sound(other)
    got = content(other)
    for table, rows in content(whole).items():
        missing, extra = Counter(rows), Counter(got[table])
        missing.subtract(got[table])
        extra.subtract(rows)
        assert got[table] == rows, (
            f"{table} is not what a crawl left alone makes of it: "
            f"it lacks {list(+missing)[:3]}, and should not have {list(+extra)[:3]}"
        )


def assert_sound(crawler: Crawler) -> None:
    """Have SQLite look through the whole database file."""
    found = crawler.data_set.faults()
    assert not found, f"{found[:3]}"


def snapshot(crawler: Crawler) -> dict[str, list[Any]]:
    """Return every row of every table."""
    return {table: sorted(crawler.rows(f"SELECT * FROM {table}"), key=repr) for table in crawler.data_set.tables()}


def is_moment(column: str) -> bool:
    """Tell whether a column says when the crawler wrote or saw something; the market's own times are data."""
    return column.endswith("_at") or column == "snapshot_timestamp"


TABLES = (*COLLECTED_TABLES, "intervals")
HOW_FAR = ("to_download", "download_done", "outcome", "attempts", "format", "width", "height", "size_bytes", "digest")
OF_DOWNLOADS = {("image_status", name) for name in HOW_FAR}
"""What the downloads write beside the crawl: how far they are when the crawl is stopped is chance."""


def place(cursor: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the search that TAXONOMY's cursor says is next."""
    asked = {"taxonomy_id": str(cursor["taxonomy_id"]), "offset": str(cursor["offset"])}
    if cursor["min_price"] > 0:
        asked["min_price"] = f"{cursor['min_price']:.2f}".removesuffix(".00")
    if cursor["max_price"] is not None:
        asked["max_price"] = f"{cursor['max_price']:.2f}".removesuffix(".00")
    return asked


def place_of(call: Call) -> dict[str, str]:
    """Return the same parameters of a search that the sandbox got."""
    names = ("taxonomy_id", "offset", "min_price", "max_price")
    return {name: call.params[name] for name in names if name in call.params}


def is_alive(pid: int) -> bool:
    """Tell whether a process of this number exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False

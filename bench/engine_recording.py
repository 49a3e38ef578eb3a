"""A crawl recorded once, up to VERIFY: the calls in their order, what was answered, and the rows that came of it."""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from bench.engine_rows import LIMIT_PER_DAY, Step
from bench.replay import batch_body
from crawler import changes
from crawler.api.wire import WireAnswer
from crawler.checkpoint import position_as_json
from crawler.outcome import Outcome, Position
from sandbox import Sandbox, SandboxSettings
from tests.rig import START, Rig, VirtualClock

KINDS = {"/listings/active": "page", "/listings/batch": "batch", "/buyer-taxonomy/nodes": "tree"}
MOMENTS = {
    "shops": ("snapshot_timestamp",),
    "shops_dynamic": ("snapshot_timestamp",),
    "listings": ("snapshot_timestamp",),
    "listings_dynamic": ("snapshot_timestamp",),
    "image_status": (),
    "indexed_listings": ("first_seen_at", "last_seen_at", "detail_due_at", "images_digest"),
    "indexed_shops": ("detail_due_at", "told_at"),
    "intervals": ("started_at", "finished_at"),
}
"""The tables that a crawl fills up to VERIFY, and the columns in each that tell when, or make a number of what others
tell; of those only NULLs count."""
SPANS = "id, cycle, taxonomy_id, min_price, max_price, sort_order, forced, parent_id"
ENDS = "status, verdict, tolerance, note, id"


@dataclass(frozen=True)
class Recording:
    """Where a recorded crawl lies, and what a database must hold after the same crawl."""

    folder: Path
    pages: int
    batches: int
    listings: int
    """How many of them a search showed."""
    asked: int
    """How many of them were asked for in batches."""
    images: int
    """How many images those have."""
    truth: dict[str, str]

    @property
    def steps(self) -> Path:
        """The file with the steps, for those who are told what to ask."""
        return self.folder / "steps.json"

    @property
    def answers(self) -> Path:
        """The file with the answers, for the server."""
        return self.folder / "answers.pickle"

    @property
    def calls(self) -> int:
        """How many calls the crawl makes."""
        return self.pages + self.batches + 1


class Recorder(Rig):
    """A crawl of a sandbox in this process that keeps every call and what each step wrote."""

    def __init__(self, home: Path, listings: int) -> None:
        clock = VirtualClock()
        market = SandboxSettings(
            listings=listings, epoch=int(START), quota_per_day=LIMIT_PER_DAY, calls_per_second=LIMIT_PER_DAY
        )
        super().__init__(home, Sandbox(market, clock=clock.true), clock)
        self.recorded: list[Step] = []
        self.answers: dict[str, bytes] = {}
        self._calls: list[tuple[str, Mapping[str, str]]] = []
        self._known: dict[str, str] = {}
        self._spans = 0
        self._ends: set[Any] = set()
        self._answer, self.wire.get = self.wire.get, self._get  # type: ignore[method-assign]

    def _get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        answer = self._answer(path, params)
        if answer.status != 200 or path not in KINDS:
            raise ValueError(f"{path} was answered with {answer.status}: only whole answers to KINDS can be replayed")
        self._calls.append((path, params))
        self.answers[target_of(path, params)] = answer.body
        return answer

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        super()._observe(position, outcome)
        if outcome is None or len(self._calls) > 1:
            raise ValueError(f"the step that led to {position} failed, or made {len(self._calls)} calls")
        path, params = self._calls.pop() if self._calls else (None, {})
        page = next((change for change in outcome.changes if isinstance(change, changes.PageSeen)), None)
        planned = self.rows(f"SELECT {SPANS} FROM intervals WHERE id > ? ORDER BY id", self._spans)
        self._spans += len(planned)
        ends = self.rows(f"SELECT {ENDS} FROM intervals WHERE finished_at IS NOT NULL")
        step = Step(
            target=target_of(path, params) if path else None,
            kind=KINDS[path] if path else "none",
            interval_id=page.interval_id if page else 0,
            first_of_pass=int(page.first_of_pass) if page else 0,
            position=json.dumps(position_as_json(position), ensure_ascii=False),
            known=self._newly_known(),
            planned=[list(span) for span in planned],
            ended=[list(end) for end in ends if end not in self._ends],
        )
        self._ends.update(ends)
        self.recorded.append(step)

    def _newly_known(self) -> dict[str, str]:
        """Return what the step wrote into `sync_state` besides position and quota."""
        now = dict(self.rows("SELECT key, value FROM sync_state WHERE key NOT IN ('position', 'quota')"))
        new = {key: value for key, value in now.items() if self._known.get(key) != value}
        self._known = now
        return new


def record(folder: Path, listings: int) -> Recording:
    """Crawl a market of so many listings and keep in the folder all that a replay needs."""
    recorder = Recorder(folder / "home", listings)
    recorder.run_until("VERIFY")
    pages, rows = dict(recorder.answers), dict[int, bytes]()
    batches = [step.target for step in recorder.recorded if step.kind == "batch" and step.target]
    for target in batches:
        rows |= pieces(pages.pop(target))
    found = Recording(
        folder=folder,
        pages=len(pages) - 1,
        batches=len(batches),
        listings=recorder.rows("SELECT count(*) FROM indexed_listings")[0][0],
        asked=len(rows),
        images=sum(len(orjson.loads(row)["images"]) for row in rows.values()),
        truth=contents(recorder.home.data / "etsy_data.db"),
    )
    found.steps.write_text(json.dumps([asdict(step) for step in recorder.recorded]), encoding="utf-8")
    found.answers.write_bytes(pickle.dumps({"pages": pages, "listings": rows}))
    recorder.close()
    shutil.rmtree(recorder.home.root)
    return found


def target_of(path: str, params: Mapping[str, str]) -> str:
    """Return the path with its query, as it goes over the wire."""
    return f"{path}?{urlencode(params)}" if params else path


def pieces(body: bytes) -> dict[int, bytes]:
    """Return each listing of a batch's answer as it stands there; ValueError where they do not make it up again.

    When a step happens is for the clock to say, so a replay may ask for the same listings in other batches.
    """
    rows = {row["listing_id"]: orjson.dumps(row) for row in orjson.loads(body)["results"]}
    if batch_body(list(rows.values())) != body:
        raise ValueError("a batch's answer is written in another way than orjson writes")
    return rows


def contents(file: Path) -> dict[str, str]:
    """Return what the database holds, one line a table: how many rows, and a digest of all but when they came."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        told = {table: _contents(database, table) for table in MOMENTS}
        calls = database.execute("SELECT endpoint, sum(request_count) FROM api_usage GROUP BY 1 ORDER BY 1").fetchall()
        state = dict(database.execute("SELECT key, value FROM sync_state").fetchall())
    position = json.loads(state["position"])
    told["api_usage"] = repr(calls)
    told["sync_state"] = repr((sorted(state), position["state"], position["cursor"], position["cycle"]))
    return told


def _contents(database: sqlite3.Connection, table: str) -> str:
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(f"{name} IS NULL" if name in MOMENTS[table] else name for name in names)
    digest, count = blake2b(digest_size=16), 0
    for row in database.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3"):
        digest.update(repr(row).encode())
        count += 1
    return f"{count:,} rows {digest.hexdigest()}"

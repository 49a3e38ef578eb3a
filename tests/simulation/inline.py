"""What is run to its death: a crawl and the downloads, each with all that it does on one thread, and its world."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from crawler import checkpoint
from crawler.api.limiter import SlotFile
from crawler.api.wire import WireAnswer
from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from crawler.store import state, usage, writer
from imaging import disk, download, wiring, worker
from imaging.crew import Crew
from imaging.download import Downloads
from imaging.fetch import Fetcher
from imaging.layout import Layout
from imaging.worker import Brought, Result
from runtime.clock import Clock
from runtime.instance import at_work_on
from runtime.logs import set_up_logs
from runtime.settings import Home, load_settings
from runtime.stop import Stop
from runtime.work import DOWNLOADS, at_work
from sandbox import Fault, Sandbox, SandboxServer, SandboxSettings
from sandbox.faults import PICTURE
from sandbox.taxonomy import DESCENDANTS, FURNITURE
from sandbox.world import ACTIVE, REMOVED
from tests.pictures import CHEAP, Shown, enqueue, open_home, sent, shown, troubles
from tests.rig import KEY, START, Rig, SandboxWire, VirtualClock
from tests.simulation.crash_points import DATABASE, Remains, Verdict, compared, told
from tests.truth import differences, is_wanted

MARKET: dict[str, Any] = {
    "seed": 69,
    "listings": 204,
    "shops": 4,
    "reviews_per_shop": 32.0,
    "wanted_share": 0.54,
    "cap": 100,
    "quota_per_day": 14,
}
"""As small as it can be: one more than a search reaches, so that it is split, a batch within TAXONOMY and a rest."""
OLD_ENOUGH = "14"  # days, so that the second cycle asks for what is new alone
REACHED = {
    *("advanced", "exhausted", "filled", "gaps_found", "in_sync", "caught_up", "woke", "quota_spent", "quota_back"),
    *("categories", "plan", "page", "batch", "split", "interval complete", "audit", "reviews", "shop done"),
    *("getBuyerTaxonomyNodes", "findAllListingsActive", "getListingsByListingIds", "getListingImages", "getShop"),
    *("getReviewsByShop", "400", "404"),
}
"""Events, words of steps, endpoints and statuses that the crawl must have, or it is too small to prove anything."""
AWKWARD_SECONDS = 3 * 86_400  # of the first cycle
TOO_MANY = 10_001  # images, for a listing to be readable
MOST_CALLS = 300
PICTURES = 34
SETTLING = ("syncfs", "after an fsync")


# The crawl


class CrawlScene:
    """Two cycles over a small market, which is awkward in the first and moves a little between them."""

    log_pages = 60

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self._calm: dict[str, Any] = {}
        self._calm_calls = 0

    def begin(self) -> None:
        self.clock = VirtualClock()
        self.sandbox = Sandbox(SandboxSettings(**MARKET), clock=self.clock.true)
        self.sandbox.market.warm_up()
        market = self.sandbox.market
        found = [row for row in market.numbered if row.state == ACTIVE and row.taxonomy_id in DESCENDANTS[FURNITURE]]
        wanted = [row for row in found if is_wanted(row.when_made)]
        large, _, self.shop_left_out, small = [shop for shop, _ in Counter(row.shop_id for row in wanted).most_common()]
        self.without_images, self.unreadable, *gone = [row for row in wanted if row.shop_id == large][::7][:4]
        self._opening = [row for row in found if row.shop_id == small]
        for row in self._opening:
            market.set_state(row, "expired", market.settings.epoch)
            market.changed(row, 0)
        for row in gone:  # the search still shows them: it is not told of the change
            market.set_state(row, REMOVED, market.settings.epoch)
        self._has_moved = False
        self._seen: set[str] = set()

    def prepare(self, home: Path) -> None:
        """Leave the home empty."""

    def moment(self) -> Hashable:
        return len(self.sandbox.calls), self.clock.now(), self.clock.monotonic(), self._has_moved

    def also(self, kind: str, remains: Remains) -> Iterator[tuple[str, Remains]]:
        return iter(())

    def run(self, home: Path) -> None:
        """Live as `run.py` does: alone on the home, with logs, slots on the disk, a database of its own."""
        rig = SceneRig(home, self)
        with at_work_on(rig.home, rig.home.lock, self.clock), Path(os.devnull).open("w") as nowhere:
            set_up_logs(rig.home.logs, "crawler", rig.settings.secrets, Console(file=nowhere))
            folders = (home / "state",)
            rig.slots = SlotFile.for_key(folders, rig.settings.etsy_api_url, rig.settings.key_header)
            rig.run_cycle(2)
            rig.close()

    def judge(self, home: Path, deaths: int) -> Verdict:
        got, calls = told(home), len(self.sandbox.calls)
        counted = got.pop("api_usage")[0][0]
        if not self._calm:
            self._calm, self._calm_calls = got, calls
            return Verdict([*self._untrue(home), *self._not_reached()])
        found = compared(self._calm, got)
        if not calls - deaths <= counted <= calls:
            found.append(f"{counted} calls are written down, {calls} were made")
        extra = calls - self._calm_calls
        if not 0 <= extra <= deaths:
            found.append(f"{calls} calls were made, {self._calm_calls} are needed")
        return Verdict(found, extra)

    def observe(self, position: Position, outcome: Outcome | None) -> None:
        """Open a shop once the first cycle is over, whoever sees that first."""
        self._seen |= {outcome.event, outcome.said} if outcome else set()
        if position.state != "SLEEP" or position.cursor["reason"] != "cycle" or self._has_moved:
            return
        self._has_moved = True
        for row in self._opening:
            self.sandbox.market.set_state(row, ACTIVE, self.sandbox.market.settings.epoch)
            self.sandbox.market.changed(row, 0)

    def is_awkward(self) -> bool:
        return self.clock.true.now() < START + AWKWARD_SECONDS

    def _untrue(self, home: Path) -> list[str]:
        with closing(sqlite3.connect(home / DATABASE)) as database:
            return differences(lambda query, *values: database.execute(query, values).fetchall(), self.sandbox)

    def _not_reached(self) -> list[str]:
        """Return what the calm run lacks of what a crawl should be killed in."""
        calls = {call.endpoint for call in self.sandbox.calls} | {str(call.status) for call in self.sandbox.calls}
        return [f"the calm run has no {name}" for name in sorted(REACHED - self._seen - calls)]


class SceneRig(Rig):
    """A life in the scene's world."""

    def __init__(self, home: Path, scene: CrawlScene) -> None:
        super().__init__(home, scene.sandbox, scene.clock, DYNAMIC_MAX_AGE_DAYS=OLD_ENOUGH)
        self.wire = SceneWire(scene)
        self._scene = scene

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        self._scene.observe(position, outcome)
        super()._observe(position, outcome)


class SceneWire(SandboxWire):
    """Is at a point before and after each request. In the first days, batches leave out some of what they hold."""

    def __init__(self, scene: CrawlScene) -> None:
        super().__init__(scene.sandbox, scene.clock)
        self._scene = scene

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        assert len(self.sandbox.calls) < MOST_CALLS, "no end in sight"
        self._scene.note("before a request")
        answer = super().get(path, params)
        self._scene.note("after a request")
        ids = params.get("listing_ids", "").split(",")
        is_batch = path == "/listings/batch" and len(ids) > 1 and answer.status == 200
        return self._worse(answer) if is_batch and self._scene.is_awkward() else answer

    def _worse(self, answer: WireAnswer) -> WireAnswer:
        told = json.loads(answer.body)
        for row in told["results"]:
            if row["listing_id"] == self._scene.without_images.listing_id:
                row["images"] = None
            if row["listing_id"] == self._scene.unreadable.listing_id:
                row["images"] = [{}] * TOO_MANY
            if row["shop_id"] == self._scene.shop_left_out:
                row["shop"] = None
        return replace(answer, body=json.dumps(told).encode())


# The downloads


class InlineCrew(Crew):
    """Fetches and stores on the thread that asks for results, one picture each time: no thread, no chance."""

    def begin(self) -> None:
        """Begin nothing."""

    def results(self) -> Iterator[Result]:
        """Bring the next picture that was handed out, where the courtesy allows it."""
        if self._courtesy.until > self._clock.monotonic() or self._jobs.empty():
            return
        wanted = self._jobs.get_nowait()
        come = self._worker.fetch(wanted) if wanted else None
        result = self._worker.store(come) if isinstance(come, Brought) else come
        if result is not None:
            self._judge(result)
            yield result

    def leave(self) -> None:
        """Bring nothing more."""
        self.recall()


class NotedFetcher(Fetcher):
    """Is at a point before and after each request, and remembers what was asked for."""

    def __init__(self, scene: DownloadScene, cdn_url: str, clock: Clock, stop: Stop) -> None:
        super().__init__(cdn_url, clock, stop)
        self._scene = scene

    def fetch(self, url: str) -> bytes:
        self._scene.note("before a request")
        self._scene.asked.append(url)
        try:
            return super().fetch(url)
        finally:
            self._scene.note("after a request")


def picture_market() -> tuple[Sandbox, list[Shown]]:
    """Return a market and the pictures to download: four that two listings show, some of odd formats."""
    sandbox = Sandbox(SandboxSettings(**{**CHEAP, "odd_formats": 0.1}))
    there = shown(sandbox)
    times = Counter(picture.image_id for picture in there)
    twice = [picture for picture in there[PICTURES:] if times[picture.image_id] > 1]
    pictures = [*there[:PICTURES], *twice[:4]]
    for picture in pictures:
        sent(sandbox, picture)  # which drawing an address gets depends on who asks first
    return sandbox, pictures


def serve(sandbox: Sandbox) -> str:
    """Serve the pictures from a process of its own, which ends when this one does; return the host's address."""
    (told, tell), (ended, end) = os.pipe(), os.pipe()
    if not os.fork():
        os.close(end)
        with SandboxServer(sandbox) as server:
            os.write(tell, server.cdn_url.encode())
            os.read(ended, 1)
        os._exit(0)
    os.close(tell)
    os.close(ended)
    return os.read(told, 200).decode()


class DownloadScene:
    """Pictures over HTTP, from a host that answers the same whoever asked before."""

    log_pages = 20

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self._sandbox, self._pictures = picture_market()
        self._dead = self._pictures[4].image_id
        self._sandbox.faults.add(Fault("not_found", endpoint=PICTURE, match={"image_id": str(self._dead)}))
        self._cdn_url = serve(self._sandbox)
        self._calm: dict[str, Any] = {}
        put_in(wiring, Crew=InlineCrew, Fetcher=partial(NotedFetcher, self))

    def begin(self) -> None:
        self.clock = VirtualClock()
        self.asked: list[str] = []
        self._settled: Remains | None = None
        self._lost = 0

    def prepare(self, home: Path) -> None:
        """Queue the pictures; of one the file lies there already, since a kill came between it and its row."""
        database = open_home(home)
        with database.atomic():
            enqueue(self._pictures)
        database.close()
        here, store = self._pictures[2], Layout(home / "images").downloaded
        store.prepare()
        path = store.path(here.image_id, "jpeg")
        path.parent.mkdir()
        path.write_bytes(sent(self._sandbox, here))
        os.utime(path, (START, START))

    def moment(self) -> Hashable:
        return len(self.asked), self.clock.now(), self.clock.monotonic()

    def also(self, kind: str, remains: Remains) -> Iterator[tuple[str, Remains]]:
        """Return what a power cut leaves after a commit: of files that were never settled, a name at the most."""
        if kind in SETTLING or self._settled is None:
            self._settled = remains
        if kind == "after a commit":
            kept = self._settled.files
            names = [name for name in remains.files if name.startswith("images/")]
            unsettled = [name for name in names if name not in kept or kept[name].digest != remains.files[name].digest]
            self._lost = len(unsettled)
            for left in (b"", None):
                yield "power cut", remains.but(**dict.fromkeys(unsettled, left))
            self._lost = 0

    def run(self, home: Path) -> None:
        told = {"ETSY_API_KEY": KEY, "ETSY_CDN_URL": self._cdn_url, "DOWNLOAD_WORKERS": "1", "MIN_FREE_GB": "0"}
        settings, stop = load_settings(home, told), Stop(self.clock, ())
        with Path(os.devnull).open("w") as nowhere:
            console = Console(file=nowhere)
            parts = wiring.Parts(settings, Home(home), self.clock, stop, console)
            with at_work(parts, DOWNLOADS, partial(wiring.open_for_writing, parts)) as database:
                wiring.build_downloads(settings, parts.layout, database, self.clock, stop, lambda _: None).run(False)

    def judge(self, home: Path, deaths: int) -> Verdict:
        got, asked = told(home), Counter(self.asked)
        # What came lies on the disk. That nothing came is known to its row alone, which waits a second for others.
        dead = asked.pop(next(url for url in asked if f"/{self._dead}/" in url))
        extra = asked.total() - len(asked)
        with closing(sqlite3.connect(home / DATABASE)) as database:
            rows = partial(_rows_of, database)
            wrong = troubles(home / "images" / "imagedownload", rows, self._sandbox)
            outcomes = rows("SELECT outcome FROM image_status")
        if not self._calm:
            self._calm = got
            return Verdict(wrong if {("done",), ("not_found",)} == set(outcomes) else [f"only {set(outcomes)}"])
        found = [*wrong, *compared(self._calm, got)]
        if extra > deaths + self._lost or dead > 1 + deaths:
            found.append(f"{extra} pictures were asked for again, and {dead - 1} times the one that never comes")
        return Verdict(found, extra - self._lost)


def _rows_of(database: sqlite3.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return database.execute(query, values).fetchall()


# Bugs that must be found


def put_in(owner: object, **things: Any) -> None:
    """Put these things into a class or module, by name, in the place of what is there."""
    for name, thing in things.items():
        setattr(owner, name, thing)


def save_position_late() -> None:
    """Have the crawl save its position after the rows, not with them."""

    def commit(engine: Engine, outcome: Outcome) -> None:
        position, cycle = engine._next(outcome)
        with engine._transaction():
            writer.write(outcome.changes)
            usage.write(engine._ledger.drain())
            state.save("quota", engine._ledger.quota.as_json())
        with engine._transaction():
            checkpoint.save_cycle(cycle)
            checkpoint.save_position(position)
        engine._machine.fire(outcome.event, outcome.resume)
        engine.position, engine._context = position, replace(engine._context, cycle=cycle)

    put_in(Engine, _commit=commit)


def store_late() -> None:
    """Have the downloads write their rows before their files."""
    keep, write = disk.put, Downloads._write
    waiting: list[tuple[Any, ...]] = []

    def write_rows_first(downloads: Downloads) -> None:
        write(downloads)
        while waiting:
            keep(*waiting.pop(0))

    put_in(worker, put=lambda *file: waiting.append(file))
    put_in(Downloads, _write=write_rows_first)


def settle_nothing() -> None:
    """Have the downloads trust that what they wrote is on the disk."""
    put_in(download, settle=lambda root, files: None)


PLANTS = {"position": save_position_late, "rows first": store_late, "unsettled": settle_nothing}

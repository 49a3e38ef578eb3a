"""One home with the publishing database in this process, its worker, and a sandbox to publish to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from peewee import Database
from PIL import Image
from rich.console import Console

from models.publishing import File, Job, PlatformListing
from publishing import jobs
from publishing.door import doors
from publishing.handlers.context import Context
from publishing.retries import Rule
from publishing.webhook import Inbox
from publishing.wiring import build_context, build_inbox, build_rule, build_shelf, open_for_writing
from publishing.worker import Worker
from runtime.clock import SystemClock
from runtime.parts import Parts
from runtime.settings import Home, load_settings
from runtime.stop import Stop
from sandbox import Sandbox, SandboxServer, SandboxSettings

MARKET: dict[str, Any] = {
    "listings": 30,
    "shops": 3,
    "reviews_per_shop": 2.0,
    "calls_per_second": 10_000,
    "quota_per_day": 10**6,
}
TOKEN = SandboxSettings().oauth_token
CHAIR = 967
"""A category that the sandbox knows."""
LISTED = {"platform": "etsy", "price": 45.0, "taxonomy_id": CHAIR}


class Ahead(SystemClock):
    """The computer's clock, set ahead by hand: what is waited for comes when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class FreePace:
    """Lets every call go at once."""

    def wait_for_turn(self) -> float:
        return 0.0

    def leaves(self) -> None:
        pass

    def answered(self, sent: float) -> None:
        pass

    def hold(self, seconds: float) -> None:
        pass


class Bench:
    """A home, its clock and parts; `worker()` is one more worker on its database."""

    def __init__(
        self, root: Path, server: SandboxServer | None = None, database: Database | None = None, **settings: str
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.server = server
        told = {"ETSY_API_KEY": SandboxSettings().key, **settings}
        if server is not None:
            told |= {"ETSY_API_URL": server.api_url, "ETSY_OAUTH_TOKEN": TOKEN}
            told["ETSY_SHOP_ID"] = str(server.sandbox.seller.shop_id)
        self.settings = load_settings(root, told)
        self.clock = Ahead()
        home = Home(root)
        self.stop = Stop(self.clock, home.kill_files("KILL"))
        self.parts = Parts(self.settings, home, self.clock, self.stop, Console(quiet=True))
        self.shelf = build_shelf(self.parts)
        self.database: Database = database or open_for_writing(self.parts)

    @property
    def rule(self) -> Rule:
        return build_rule(self.settings)

    @property
    def context(self) -> Context:
        return build_context(self.parts, self.database, FreePace())

    def worker(self, **parts: Any) -> Worker:
        """Return a worker; `parts` replace those of its context."""
        context = replace(self.context, **parts)
        return Worker(self.database, context, self.rule, 86_400.0, self.stop, lambda tally: None)

    def inbox(self) -> Inbox:
        return build_inbox(self.parts, self.database)

    def drain(self, **parts: Any) -> None:
        """Carry out all that is due now."""
        worker = self.worker(**parts)
        while worker.step():
            pass

    def enqueue(self, command: str, payload: Mapping[str, Any] | None = None, file_id: str | None = None) -> str:
        with self.database.atomic():
            return jobs.enqueue(command, payload or {}, self.clock.now(), file_id)

    def job(self, job_id: str) -> Any:
        return Job.get_by_id(job_id)

    def file(self, file_id: str) -> Any:
        return File.get_by_id(file_id)

    def listings(self) -> list[Any]:
        return list(PlatformListing.select())

    def result(self, job_id: str) -> Any:
        """Return a completed job's result."""
        job = self.job(job_id)
        assert job.status == "completed", f"{job.status}: {job.last_error}"
        return json.loads(job.result_json)

    def error(self, job_id: str) -> str:
        """Return why a job failed."""
        job = self.job(job_id)
        assert job.status == "failed", f"{job.status}: {job.last_error}"
        return str(job.last_error)

    def ingested(self, picture: Path | None = None, **payload: Any) -> str:
        """Return the id of a file that was just ingested."""
        path = picture or draw(self.parts.home.root / "art" / "heron - misty morning.png")
        job_id = self.enqueue("CreateFileRecord", {"path": str(path), **payload})
        self.drain()
        return str(self.result(job_id)["file_id"])

    def processed(self) -> str:
        """Return the id of a file that waits for its approval."""
        file_id = self.ingested()
        self.enqueue("UpscaleImage", {"factor": 2}, file_id)
        self.enqueue("GenerateMetadata", {}, file_id)
        self.drain()
        assert self.file(file_id).status == "processed"
        return file_id

    def close(self) -> None:
        self.database.close()


def draw(path: Path, width: int = 60, height: int = 40, mode: str = "RGB", **how: Any) -> Path:
    """Draw a picture that is no plain colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").resize((width, height)).convert(mode).save(path, **how)
    return path


def new_server(**market: Any) -> SandboxServer:
    return SandboxServer(Sandbox(SandboxSettings(**{**MARKET, **market})))


def drafts(server: SandboxServer) -> list[dict[str, Any]]:
    """Return all listings that were made in the sandbox."""
    return [draft.row for draft in server.sandbox.seller.drafts.values()]


def no_pace(parts: Parts) -> FreePace:
    return FreePace()


DOORS: Mapping[str, Any] = doors(no_pace)

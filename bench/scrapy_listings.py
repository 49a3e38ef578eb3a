"""Scrapy at the crawler's work: a spider that fetches and parses, an item pipeline that writes the same rows.

    .venv-bench-engine/bin/python -m bench.scrapy_listings BASE_URL DATABASE ENDED.json STEPS.json plain|answer|listing

Which calls to make stands in the recording, as for the floor, whose rows and transactions it shares. `plain` is Scrapy
with its own defaults and an item a listing; the other two are written to be as fast as it can be at this.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from scrapy import Request, Spider  # type: ignore[import-not-found]
from scrapy.crawler import AsyncCrawlerProcess  # type: ignore[import-not-found]

from bench.engine_rows import Step, Store, detailed, iso, load_steps, note_end, seen_rows

CONNECTIONS = 8
PLAIN = {"LOG_LEVEL": "INFO", "TELNETCONSOLE_ENABLED": False}  # by itself it writes every item into its log
FAST = {
    "CONCURRENT_REQUESTS": CONNECTIONS,
    "CONCURRENT_REQUESTS_PER_DOMAIN": CONNECTIONS,
    "CONCURRENT_ITEMS": 1000,
    "DOWNLOAD_DELAY": 0,
    "LOG_LEVEL": "WARNING",
    "TELNETCONSOLE_ENABLED": False,
    # Robots, retries, cookies, redirects, compression, statistics: each costs a little for each answer.
    "DOWNLOADER_MIDDLEWARES_BASE": {},
    "SPIDER_MIDDLEWARES_BASE": {},
    "EXTENSIONS_BASE": {},
    "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
}


class Listings(Spider):  # type: ignore[misc]
    """Asks for every page and batch; yields one item an answer, or one a listing."""

    name = "listings"

    def __init__(self, base_url: str, steps: list[Step], way: str) -> None:
        super().__init__()
        self._base_url = base_url
        self._steps = steps
        self._way = way

    async def start(self) -> AsyncIterator[Any]:
        """Yield the requests of all steps that have one."""
        for number, step in enumerate(self._steps):
            if step.target:
                headers = {"x-api-key": "key:secret", "Accept": "application/json"}
                url, told = self._base_url + step.target, {"number": number}
                yield Request(url, headers=headers, callback=self.parse, cb_kwargs=told, dont_filter=True)

    def parse(self, response: Any, number: int) -> Iterator[dict[str, Any]]:
        """Yield what one answer holds."""
        answer = response.json() if self._way == "plain" else orjson.loads(response.body)
        rows = self._rows(self._steps[number], answer["results"])
        if self._way == "answer" or not rows:
            yield {"number": number, "count": answer["count"], "of": len(rows), "rows": rows}
        else:
            for row in rows:
                yield {"number": number, "count": answer["count"], "of": len(rows), "rows": (row,)}

    def _rows(self, step: Step, results: list[dict[str, Any]]) -> list[Any]:
        now = time.time()
        if step.kind == "page":
            return seen_rows(results, step, iso(now))
        return [detailed(row, now) for row in results] if step.kind == "batch" else []


class Rows:
    """Writes what each answer brought in one transaction; as answers come in any order, the plan goes first."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._ended = crawler.settings["ENDED"]
        self._steps: list[Step] = crawler.settings["STEPS"]
        self._store = Store(crawler.settings["DATABASE"])
        self._begun: defaultdict[int, list[Any]] = defaultdict(list)
        self._left = sum(1 for step in self._steps if step.target)
        self._began = 0.0
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Any) -> Rows:
        """Return the pipeline of this crawl, as Scrapy wants it made."""
        return cls(crawler)

    def open_spider(self) -> None:
        """Write the plan."""
        self._began = time.process_time()
        planned = [span for step in self._steps for span in step.planned]
        plan = next(step for step in self._steps if step.planned)
        self._store.write(replace(plan, planned=planned), lambda: None)

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Take the rows, and write them once all of their answer are here."""
        rows = self._begun[item["number"]]
        rows += item["rows"]
        if len(rows) == item["of"]:
            self._write(replace(self._steps[item["number"]], planned=[]), item["count"], rows)
            del self._begun[item["number"]]
        return item

    def _write(self, step: Step, count: int, rows: list[Any]) -> None:
        writing = {
            "page": partial(self._store.write_page, step, count, rows),
            "batch": partial(self._store.write_batch, rows),
        }
        self._store.write(step, writing.get(step.kind, lambda: None))
        self._left -= 1
        if not self._left:
            # Scrapy itself would wait up to 5 s before it closes.
            self._closing = asyncio.ensure_future(self._crawler.engine.close_spider_async(reason="finished"))

    def close_spider(self) -> None:
        """Write the steps behind the last call."""
        for step in self._steps:
            if not step.target and not step.planned:
                self._store.write(step, lambda: None)
        note_end(self._ended, self._store.committed_at, self._began)
        self._store.close()


def main(base_url: str, database: str, ended: str, steps: str, way: str) -> None:
    """Fetch and store all that the recording names."""
    known = load_steps(Path(steps))
    needed = {"ITEM_PIPELINES": {Rows: 1}, "STEPS": known, "DATABASE": database, "ENDED": ended}
    process = AsyncCrawlerProcess({**needed, **(PLAIN if way == "plain" else FAST)})
    process.crawl(Listings, base_url, known, way)
    process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])

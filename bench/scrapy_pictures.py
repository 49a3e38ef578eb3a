"""Scrapy's ImagesPipeline at the downloader's work: fetch, decode check, file, row in SQLite.

    .venv-bench/bin/python bench/scrapy_pictures.py ADDRESSES.txt FOLDER CONNECTIONS kept|stock

Written to be as fast as Scrapy can be at this. What is said of other ways comes from a run or two of 1,000 pictures.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from scrapy import Spider  # type: ignore[import-not-found]
from scrapy.crawler import AsyncCrawlerProcess  # type: ignore[import-not-found]
from scrapy.pipelines.images import ImagesPipeline  # type: ignore[import-not-found]

AHEAD = 2  # items for each connection; with a hundred or all begun, half of the pictures or more took new connections
ROWS_A_TRANSACTION = 100
TABLE = "CREATE TABLE pictures (url TEXT PRIMARY KEY, path TEXT NOT NULL, md5 TEXT NOT NULL)"


class KeptImages(ImagesPipeline):  # type: ignore[misc]
    """Decodes each picture to its end and stores the bytes that came.

    As it comes, the pipeline encodes every JPEG anew (its EXIF step returns a copy, which has forgotten its format):
    a third more CPU for a worse picture.
    """

    def get_images(self, response: Any, request: Any, info: Any, *, item: Any = None) -> Iterator[tuple[str, Any, Any]]:
        """Return the one picture, decoded, and its bytes as they came."""
        body = BytesIO(response.body)
        image = self._Image.open(body)
        image.load()
        yield self.file_path(request, response=response, info=info, item=item), image, body


class Record:
    """Writes what was stored into SQLite, as durably as this program does, a hundred rows a transaction."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._rows: list[tuple[str, str, str]] = []
        self._database = sqlite3.connect(crawler.settings["RECORD"], isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = wal; PRAGMA synchronous = full; {TABLE}")

    @classmethod
    def from_crawler(cls, crawler: Any) -> Record:
        """Return the record of this crawl, as Scrapy wants it made."""
        return cls(crawler)

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Take note of the item's pictures."""
        self._rows += [(image["url"], image["path"], image["checksum"]) for image in item["images"]]
        if len(self._rows) >= ROWS_A_TRANSACTION:
            self._write()
        self._crawler.spider.item_done()
        return item

    def close_spider(self) -> None:
        """Write what is left."""
        self._write()
        self._database.close()

    def _write(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO pictures VALUES (?, ?, ?)", self._rows)
        self._database.execute("COMMIT")
        self._rows = []


class Pictures(Spider):  # type: ignore[misc]
    """Yields one item a picture: ten and a hundred pictures an item took as much CPU time and longer."""

    name = "pictures"

    def __init__(self, addresses: str, connections: int) -> None:
        super().__init__()
        self._addresses = Path(addresses).read_text(encoding="ascii").split()
        self._left = len(self._addresses)
        self._ahead = asyncio.Semaphore(connections * AHEAD)
        self._closing: asyncio.Future[None] | None = None

    async def start(self) -> AsyncIterator[dict[str, list[str]]]:
        """Yield the items, so many ahead of what is done."""
        for address in self._addresses:
            await self._ahead.acquire()
            yield {"image_urls": [address]}

    def item_done(self) -> None:
        """Let the next item begin; after the last one close at once, for which Scrapy would wait up to 5 s."""
        self._ahead.release()
        self._left -= 1
        if not self._left:
            self._closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="finished"))


def settings(folder: Path, connections: int, pipeline: type[Any]) -> dict[str, Any]:
    """Return the settings: so many connections, no delay, and nothing else switched on."""
    return {
        "ITEM_PIPELINES": {pipeline: 1, Record: 2},
        "IMAGES_STORE": str(folder / "images"),
        "RECORD": str(folder / "record.db"),
        "CONCURRENT_REQUESTS": connections,
        "CONCURRENT_REQUESTS_PER_DOMAIN": connections,
        "DOWNLOAD_DELAY": 0,
        "LOG_ENABLED": False,
        # Robots, retries, cookies, redirects, compression, telnet, statistics: each costs a little for each picture.
        # The default handler and event loop stay: aiohttp, httpx and uvloop brought nothing or were slower.
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
    }


def main(addresses: str, folder: str, connections: str, way: str) -> None:
    """Download all that the file names."""
    pipeline = {"kept": KeptImages, "stock": ImagesPipeline}[way]
    process = AsyncCrawlerProcess(settings(Path(folder), int(connections), pipeline))
    process.crawl(Pictures, addresses, int(connections))
    process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])

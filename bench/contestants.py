"""The programs that `bench/pictures.py` compares: what each needs beforehand, its command, and what it stored."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.picture_host import path_of
from imaging.layout import Layout
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, Listing, Shop
from runtime import bulk
from runtime.database import open_database
from runtime.settings import Home
from sandbox.market import PictureAddress

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 8
FILLED_AT = "2026-11-01T00:00:00Z"
IMAGE_ID = re.compile(r"/il_570xN\.(\d+)_")


@dataclass(frozen=True)
class Task:
    """Some pictures that are to be fetched from a host into an empty folder."""

    folder: Path
    cdn_url: str
    addresses: Sequence[PictureAddress]

    @property
    def list_file(self) -> Path:
        """The file that names all pictures, one address a line."""
        return self.folder / "addresses.txt"

    def write_list(self) -> None:
        """Write that file."""
        lines = (f"{self.cdn_url}{path_of(address)}\n" for address in self.addresses)
        self.list_file.write_text("".join(lines), encoding="ascii")


class Contestant(Protocol):
    """A program, with its settings."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def way(self) -> str:
        """The way in which it does the work, in words: programs with several are tried in each."""

    @property
    def settings(self) -> str:
        """The settings that are the same in each way, in words."""

    def prepare(self, task: Task) -> None:
        """Make in the task's folder what the program starts from; nobody counts the time."""

    def command(self, task: Task) -> list[str]:
        """Return the command that does the task."""

    def environment(self, task: Task) -> Mapping[str, str]:
        """Return what the command needs in its environment."""

    def stored(self, task: Task) -> dict[int, Path]:
        """Return the files by image id, by the program's own record of what it did."""


@dataclass(frozen=True)
class ThisProgram:
    """`run.py download` on a home whose queue holds the pictures."""

    name: str = field(init=False, default="this program")
    way: str = field(init=False, default=f"{CONNECTIONS} threads")
    settings: str = field(
        init=False,
        default="decodes at an eighth of the size, BLAKE2b, files on the disk before their rows, SQLite with "
        "synchronous=FULL",
    )

    def prepare(self, task: Task) -> None:
        """Fill the queue, with the listings and shops that its rows name."""
        database = open_database(self._database_url(task), task.folder, CRAWLER_MODELS, MIGRATIONS)
        with database.atomic():
            fill_queue(task.addresses)
        database.close()

    def command(self, task: Task) -> list[str]:
        """Return the command as a person types it."""
        return [sys.executable, str(ROOT / "run.py"), "download"]

    def environment(self, task: Task) -> Mapping[str, str]:
        """Return every setting that a .env in the program's folder could change."""
        return {
            "CRAWLER_HOME": str(task.folder),
            "DATABASE_URL": self._database_url(task),
            "ETSY_CDN_URL": task.cdn_url,
            "DOWNLOAD_WORKERS": str(CONNECTIONS),
            "MIN_FREE_GB": "0",
            "ARCHIVE_RAW": "false",
        }

    def stored(self, task: Task) -> dict[int, Path]:
        """Return what image_status says is done."""
        store = Layout(Home(task.folder).images).downloaded
        query = "SELECT image_id, format FROM image_status WHERE download_done = 1 AND digest IS NOT NULL"
        with closing(sqlite3.connect(task.folder / "pictures.db")) as database:
            return {image_id: store.path(image_id, kind) for image_id, kind in database.execute(query)}

    def _database_url(self, task: Task) -> str:
        return f"sqlite:///{task.folder / 'pictures.db'}"


def fill_queue(addresses: Sequence[PictureAddress]) -> None:
    """Put the pictures into the queue of the database that the models are bound to."""
    shops = {address.shop_id for address in addresses}
    listings = {address.listing_id: address.shop_id for address in addresses}
    empty = {"snapshot_timestamp": FILLED_AT, "tags": "[]", "materials": "[]", "production_partners": "[]"}
    bulk.insert_new(Shop, [{"shop_id": shop_id} for shop_id in shops])
    bulk.insert_new(Listing, [{"listing_id": number, "shop": shop_id, **empty} for number, shop_id in listings.items()])
    bulk.insert_new(
        ImageStatus,
        [
            {
                "listing": address.listing_id,
                "image_id": address.image_id,
                "shop_id": address.shop_id,
                "hex": address.hex,
                "suffix": address.suffix,
                "is_primary": int(address.rank == 1),
            }
            for address in addresses
        ],
    )


@dataclass(frozen=True)
class Img2dataset:
    """img2dataset with so many processes, which share the connections."""

    python: Path
    processes: int
    name: str = field(init=False, default="img2dataset")

    settings: str = field(
        init=False,
        default="files, resize_mode=no, skip_reencode (decodes whole, stores what came), MD5, no EXIF, one shard a "
        "process, no retries",
    )

    @property
    def threads(self) -> int:
        """How many pictures each process has in flight."""
        return CONNECTIONS // self.processes

    @property
    def way(self) -> str:
        """How the connections are shared out, in words."""
        return f"processes_count={self.processes} thread_count={self.threads}"

    def prepare(self, task: Task) -> None:
        """Write the list of addresses."""
        task.write_list()

    def command(self, task: Task) -> list[str]:
        """Return the command line."""
        options = {
            "url_list": str(task.list_file),
            "input_format": "txt",
            "output_folder": str(task.folder / "out"),
            # One file a picture. It writes a JSON file beside each too, and nothing switches that off.
            "output_format": "files",
            "processes_count": self.processes,
            "thread_count": self.threads,
            # A process takes a whole shard; more shards than processes only add ends at which threads wait.
            "number_sample_per_shard": math.ceil(len(task.addresses) / self.processes),
            # Decoded (which finds JPEGs that are cut), but stored as they came. disable_all_reencoding would be
            # faster and no check: it stores whatever came without looking.
            "resize_mode": "no",
            "skip_reencode": True,
            "disable_all_reencoding": False,
            "extract_exif": False,
            # The cheapest of its digests; the two others record one as well.
            "compute_hash": "md5",
            "retries": 0,
            "enable_wandb": False,
        }
        program = self.python.with_name("img2dataset")
        return [str(program), *(f"--{name}={value}" for name, value in options.items())]

    def environment(self, task: Task) -> Mapping[str, str]:
        """Keep a library of its from asking the internet for its latest version at every start."""
        return {"NO_ALBUMENTATIONS_UPDATE": "1"}

    def stored(self, task: Task) -> dict[int, Path]:
        """Return what its Parquet tables say."""
        folder = task.folder / "out"
        reader = [str(self.python), str(ROOT / "bench" / "read_parquet.py"), str(folder)]
        lines = subprocess.run(reader, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = (line.split("\t") for line in lines)
        return {
            image_id_of(url): folder / shard / f"{key}.jpg" for shard, key, status, url in rows if status == "success"
        }


@dataclass(frozen=True)
class Scrapy:
    """Scrapy's ImagesPipeline; `pipeline` is `stock` or `kept`."""

    python: Path
    pipeline: str
    name: str = field(init=False, default="Scrapy")
    settings: str = field(
        init=False,
        default=f"CONCURRENT_REQUESTS={CONNECTIONS}, no delay, no middlewares, extensions or logs, one item a picture, "
        "MD5, SQLite with synchronous=FULL, a hundred rows a transaction",
    )

    @property
    def way(self) -> str:
        """Which pipeline, in words."""
        return {
            "kept": "ImagesPipeline made to decode whole and store what came",
            "stock": "ImagesPipeline as it comes, which encodes every JPEG anew",
        }[self.pipeline]

    def prepare(self, task: Task) -> None:
        """Write the list of addresses."""
        task.write_list()

    def command(self, task: Task) -> list[str]:
        """Return the command line."""
        program = ROOT / "bench" / "scrapy_pictures.py"
        return [str(self.python), str(program), str(task.list_file), str(task.folder), str(CONNECTIONS), self.pipeline]

    def environment(self, task: Task) -> Mapping[str, str]:
        """Return nothing: it needs nothing."""
        return {}

    def stored(self, task: Task) -> dict[int, Path]:
        """Return what its record says."""
        with closing(sqlite3.connect(task.folder / "record.db")) as database:
            rows = database.execute("SELECT url, path FROM pictures").fetchall()
        return {image_id_of(url): task.folder / "images" / path for url, path in rows}


def image_id_of(url: str) -> int:
    """Return the image id in a picture's address."""
    found = IMAGE_ID.search(url)
    if found is None:
        raise ValueError(f"{url} names no picture")
    return int(found[1])


def contestants(python: Path) -> list[list[Contestant]]:
    """Return the programs that compete, each in the ways that are tried before; `python` is the peers' own."""
    splits = [count for count in (1, 2, 4, CONNECTIONS) if count <= max(2, os.cpu_count() or 1)]
    return [
        [ThisProgram()],
        [Img2dataset(python, processes) for processes in splits],
        [Scrapy(python, pipeline) for pipeline in ("kept", "stock")],
    ]

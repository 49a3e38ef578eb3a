"""A queue of pictures without a crawl, straight from a sandbox's truth; and what must be true of the files."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from peewee import Database
from PIL import Image

from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, Listing, Shop
from runtime import bulk
from runtime.clock import iso
from runtime.database import open_database
from runtime.settings import DEFAULT_DATABASE_URL
from sandbox import Sandbox
from sandbox.pictures import read_address
from tests.truth import ADDRESS

Rows = Callable[..., list[tuple[Any, ...]]]
CHEAP: dict[str, Any] = {
    "seed": 41,
    "listings": 60,
    "shops": 5,
    "reviews_per_shop": 5.0,
    "distinct_pictures": 20,
    "dead_pictures": 0.0,
    "odd_formats": 0.0,
}
"""SandboxSettings for 300 pictures that cost next to nothing to serve; this seed shows five of them twice."""
FOLDERS = {f"{number:03d}" for number in range(1000)}
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp"}
AT = "2026-11-20T00:00:00Z"


class Shown(NamedTuple):
    """A picture as one listing shows it."""

    listing_id: int
    shop_id: int
    image_id: int
    hex: str
    suffix: str
    is_primary: int

    @property
    def path(self) -> str:
        """The address without the host, of the size that is downloaded."""
        return f"/il/{self.hex}/{self.image_id}/il_570xN.{self.image_id}_{self.suffix}.jpg"


def shown(sandbox: Sandbox, listings: int | None = None) -> list[Shown]:
    """Return the pictures of the market's first so many listings, one that two listings show twice."""
    truth = sandbox.truth()
    found = []
    for listing_id in list(truth.images)[:listings]:
        for image in truth.images[listing_id]:
            match = ADDRESS.search(image["url_570xN"])
            assert match, image
            shop_id = truth.listings[listing_id]["shop_id"]
            found.append(Shown(listing_id, shop_id, int(match[2]), match[1], match[3], int(image["rank"] == 1)))
    return found


def open_home(home: Path, url: str = DEFAULT_DATABASE_URL) -> Database:
    """Open a home's database and bind the models to it."""
    return open_database(url, home, CRAWLER_MODELS, MIGRATIONS)


def enqueue(pictures: Iterable[Shown], **told: Any) -> None:
    """Write the rows of these pictures into the open database, with these values on top."""
    rows = list(pictures)
    bulk.insert_new(Shop, [{"shop_id": one.shop_id} for one in rows])
    lists = dict.fromkeys(("tags", "materials", "production_partners"), "[]")
    bulk.insert_new(
        Listing,
        [{"listing_id": one.listing_id, "snapshot_timestamp": AT, "shop": one.shop_id, **lists} for one in rows],
    )
    bulk.insert_new(
        ImageStatus,
        [
            {
                "listing": one.listing_id,
                **{name: getattr(one, name) for name in ("image_id", "shop_id", "hex", "suffix", "is_primary")},
                "to_download": 1,
                "download_done": 0,
                **told,
            }
            for one in rows
        ],
    )


def fill(home: Path, sandbox: Sandbox, listings: int | None = None, url: str = DEFAULT_DATABASE_URL) -> list[Shown]:
    """Queue the pictures of the market's first so many listings in a home of its own; return them."""
    found = shown(sandbox, listings)
    database = open_home(home, url)
    with database.atomic():
        enqueue(found)
    database.close()
    return found


def draw_ahead(sandbox: Sandbox) -> None:
    """Have the few drawings made: otherwise which one an address gets depends on who asks first."""
    for picture in shown(sandbox):
        sent(sandbox, picture)


def sent(sandbox: Sandbox, picture: Shown) -> bytes:
    """Return what the host has under the picture's address; a request would be counted, and struck by faults."""
    return sandbox._gallery.show(read_address(picture.path)).body


def files(root: Path) -> dict[int, list[Path]]:
    """Return every file below the folder of the pictures by its number, but for its README and what is half written."""
    found: dict[int, list[Path]] = {}
    for path in root.rglob("*"):
        if path.is_file() and path != root / "README.md" and path.parent != root / ".aside":
            found.setdefault(int(path.stem) if path.stem.isdecimal() else -1, []).append(path)
    return found


def troubles(root: Path, rows: Rows, sandbox: Sandbox) -> list[str]:
    """Return what is wrong with files and rows where nothing is under way; empty where all is as it should be.

    As `broken`, and moreover nothing half written is left, and each file has its row.
    """
    done = {row[0] for row in rows("SELECT image_id FROM image_status WHERE download_done = 1")}
    left = list((root / ".aside").glob("*"))
    rowless = [paths[0] for number, paths in files(root).items() if number not in done]
    return [*broken(root, rows, sandbox), *(f"{path} is left over" for path in (*left, *rowless))]


def broken(root: Path, rows: Rows, sandbox: Sandbox) -> list[str]:
    """Return what must not be at any moment, be it after a kill.

    Each file under a final name is whole, lies where its number says, once, and is what the host sent; each row that
    says done has its file and says of it what is true.
    """
    there = files(root)
    wrong = [f"{number} lies there {len(paths)} times: {paths}" for number, paths in there.items() if len(paths) > 1]
    wrong += [f"{path} lies in the wrong place" for paths in there.values() for path in paths if not _is_placed(path)]
    told = {picture.image_id: picture for picture in shown(sandbox)}
    for number, paths in there.items():
        if number not in told or paths[0].read_bytes() != sent(sandbox, told[number]):
            wrong.append(f"{paths[0]} is not what the host sent")
    done = rows(
        "SELECT image_id, format, width, height, size_bytes, digest, downloaded_at, outcome, retry_at"
        " FROM image_status WHERE download_done = 1"
    )
    for image_id, *said in done:
        if image_id not in there:
            wrong.append(f"{image_id} is done, and there is no file")
        elif said != (true := _said_of(there[image_id][0])):
            wrong.append(f"{image_id}: the row says {said}, and true is {true}")
    return wrong


def asked_twice(sandbox: Sandbox) -> int:
    """Return how many requests asked for a picture that had been asked for before."""
    return sum(times - 1 for times in Counter(sandbox.picture_ids).values())


def _is_placed(path: Path) -> bool:
    if not path.stem.isdecimal() or path.parent.name not in FOLDERS:
        return False
    with Image.open(path) as image:
        return path.suffix == SUFFIXES[str(image.format)] and path.parent.name == f"{int(path.stem) % 1000:03d}"


def _said_of(path: Path) -> list[Any]:
    body = path.read_bytes()
    with Image.open(io.BytesIO(body)) as image:
        looks = [str(image.format).lower(), *image.size]
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return [*looks, len(body), digest, iso(path.stat().st_mtime), "done", 0]

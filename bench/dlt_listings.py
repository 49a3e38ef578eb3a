"""dlt at the crawler's work: its REST API source, loaded into SQLite by its SQLAlchemy destination.

    .venv-bench-engine/bin/python -m bench.dlt_listings BASE_URL DATABASE ENDED.json STEPS.json \\
        plain|typed-jsonl|parquet

It pages through each search by itself; searches and batches are those of the recording. Its tables are its own, and
the images become one. `plain` is dlt with its own defaults, which stores all that it is told; in the other two ways it
is tuned, and a search row and a listing are cut to the fields that the others store.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PLAIN = "plain"
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
TUNED = {
    # Everything in one file a table: fewer files are fewer transactions.
    "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
    "EXTRACT__WORKERS": "8",
    "NORMALIZE__WORKERS": "1",  # another process on the one core is another process to start
    "LOAD__WORKERS": "1",  # SQLite has one writer
}
os.environ |= QUIET if sys.argv[-1] == PLAIN else QUIET | TUNED

import dlt  # type: ignore[import-not-found]  # noqa: E402 - it reads the environment
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]  # noqa: E402

from bench.engine_rows import STATIC_COLUMNS, Step, load_steps, note_end  # noqa: E402

PAGE_ROWS = 100
SEEN = ("listing_id", "shop_id", "when_made", "taxonomy_id", "price")
FIGURES = ("state", "ending_timestamp", "quantity", "num_favorers", "views")
DETAILS = tuple({*STATIC_COLUMNS, *FIGURES, "price"} - {"snapshot_timestamp", "price_amount", "price_divisor"})
SHOP = (
    *("shop_id", "create_date", "url", "is_shop_us_based", "shipping_from_country_iso", "shop_location_country_iso"),
    *("update_date", "listing_active_count", "accepts_custom_requests", "num_favorers", "transaction_sold_count"),
    *("review_average", "review_count"),
)
IMAGE = ("listing_image_id", "rank", "url_570xN")
JSON_COLUMNS = {name: {"data_type": "json"} for name in ("tags", "materials", "production_partners")}


def seen(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a search row."""
    return {name: row.get(name) for name in SEEN}


def details(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a listing."""
    kept = {name: row.get(name) for name in DETAILS}
    kept["shop"] = {name: row["shop"].get(name) for name in SHOP}
    kept["images"] = [{name: image.get(name) for name in IMAGE} for image in row["images"]]
    return kept


def cut(by: Callable[[dict[str, Any]], dict[str, Any]], way: str) -> dict[str, Any]:
    """Return the step that cuts what comes, none where it is stored as it comes."""
    return {} if way == PLAIN else {"processing_steps": [{"map": by}]}


def searches(steps: list[Step], way: str) -> list[dict[str, Any]]:
    """Return a resource for each interval's search, up to the last page that was recorded: one may have been split."""
    found: dict[tuple[tuple[str, str], ...], int] = {}
    for step in steps:
        if step.kind == "page":
            query = dict(parse_qsl(urlsplit(step.target or "").query))
            offset, limit = int(query.pop("offset")), int(query.pop("limit"))
            search = tuple(query.items())
            found[search] = max(found.get(search, 0), offset + limit)
    return [
        {
            "name": f"seen_{number}",
            "table_name": "seen",
            "endpoint": {
                "path": "listings/active",
                "params": dict(search),
                "paginator": {"type": "offset", "limit": PAGE_ROWS, "total_path": "count", "maximum_offset": end},
                "data_selector": "results",
            },
            **cut(seen, way),
        }
        for number, (search, end) in enumerate(found.items())
    ]


def batches(steps: list[Step], way: str) -> list[Any]:
    """Return the resources for the batches: their ids, and the listings that each brings."""

    @dlt.resource(name="batches", selected=False)  # type: ignore[untyped-decorator]
    def ids() -> Iterator[list[dict[str, str]]]:
        queries = [dict(parse_qsl(urlsplit(step.target or "").query)) for step in steps if step.kind == "batch"]
        yield [{"ids": query["listing_ids"]} for query in queries]

    listings = {
        "name": "listings",
        **({} if way == PLAIN else {"columns": JSON_COLUMNS}),
        "endpoint": {
            "path": "listings/batch",
            "params": {"listing_ids": "{resources.batches.ids}", "includes": "Images,Shop"},
            "paginator": "single_page",
            "data_selector": "results",
        },
        **cut(details, way),
    }
    return [ids(), listings]


def main(base_url: str, database: str, ended: str, steps: str, way: str) -> None:
    """Extract, normalise and load all of it."""
    pipeline = dlt.pipeline(
        "listings",
        pipelines_dir=str(Path(database).parent / "dlt"),
        destination=dlt.destinations.sqlalchemy(f"sqlite:///{database}"),
        dataset_name="market",
    )
    known = load_steps(Path(steps))
    source = rest_api_source(
        {
            "client": {"base_url": f"{base_url}/", "headers": {"x-api-key": "key:secret"}},
            "resource_defaults": {"write_disposition": "append", "parallelized": way != PLAIN},
            "resources": [*searches(known, way), *batches(known, way)],
        },
        name="market",
    )
    began = time.process_time()
    pipeline.run(source, loader_file_format=None if way == PLAIN else way)
    note_end(ended, time.monotonic(), began)


if __name__ == "__main__":
    main(*sys.argv[1:])

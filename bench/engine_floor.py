"""The floor of `bench/engine.py`: the recorded calls one after the other, parsed and written by hand.

    python -m bench.engine_floor BASE_URL DATABASE ENDED.json STEPS.json

One keep-alive connection, orjson, `executemany`. It plans nothing: which call is next stands in the recording.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.engine_rows import Step, Store, detailed, iso, load_steps, note_end, seen_rows

PLACE = "/v3/application"


def keep(store: Store, step: Step, answer: Any) -> None:
    """Store one answer, or a step without one, in a transaction."""
    if step.kind == "page":
        rows = seen_rows(answer["results"], step, iso(time.time()))
        store.write(step, partial(store.write_page, step, answer["count"], rows))
    elif step.kind == "batch":
        now = time.time()
        listings = [detailed(row, now) for row in answer["results"]]
        store.write(step, partial(store.write_batch, listings))
    else:
        store.write(step, lambda: None)


def fetch(connection: HTTPConnection, target: str) -> Any:
    """Return the JSON of one call; ValueError for any answer but 200."""
    connection.request("GET", target, headers={"x-api-key": "key:secret", "Accept": "application/json"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise ValueError(f"HTTP {response.status} for {target[:200]}")
    return orjson.loads(body)


def main(base_url: str, database: str, ended: str, steps: str) -> None:
    """Make all calls and store what they bring."""
    store, connection = Store(Path(database)), HTTPConnection(urlsplit(base_url).netloc)
    known, began = load_steps(Path(steps)), time.process_time()
    for step in known:
        answer = fetch(connection, urlsplit(base_url).path + step.target) if step.target else None
        keep(store, step, answer)
    note_end(ended, store.committed_at, began)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

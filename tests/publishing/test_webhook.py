"""A webhook's payload becomes one job: however it is written, however often it comes, at however many doors."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from peewee import Database, Model

from models.publishing import File, Job, ProcessedHash
from publishing.canonical import NotJson, canonical, hash_of, parse_json
from publishing.webhook import Inbox
from runtime.errors import UserMistake
from runtime.stop import Stop
from sandbox import SandboxServer
from tests.publishing.bench import Ahead, Bench
from tests.publishing.deaths import Count, dies_at
from tests.system.process import ROOT, Crawler

ORDER = {"command_type": "CreateFileRecord", "payload": {"path": "a.jpg", "species": "owl"}}
DAY_SECONDS = 86_400.0
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def inbox_of(database: Database, clock: Ahead | None = None) -> Inbox:
    return Inbox(database, DAY_SECONDS, Stop(clock or Ahead(), ()))


@given(value=values, indent=st.sampled_from([None, 0, 3]))
def test_however_a_value_is_written_its_hash_is_the_same(value: Any, indent: int | None) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=indent is None).encode("utf-8", "surrogatepass")
    try:
        read = parse_json(written)
    except NotJson:
        assert b"\xed" in written  # a lone surrogate has no form in UTF-8
        return
    assert hash_of(read) == hash_of(value)
    assert json.loads(canonical(value)) == value


def test_the_order_of_names_and_the_spaces_do_not_matter() -> None:
    assert hash_of(parse_json(b'{"b": [1, 2], "a": "\xc3\xa9"}')) == hash_of(parse_json(b'{"a":"\\u00e9","b":[1,2]}'))
    assert hash_of([1, 2]) != hash_of([2, 1])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b'{"a": 1, "a": 2}', b"[" * 100_000, b"1e999x"])
def test_what_is_no_json_is_refused(database: Database, body: bytes) -> None:
    with pytest.raises(UserMistake, match="no JSON"):
        inbox_of(database).take(body)
    assert ProcessedHash.select().count() == Job.select().count() == 0


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([], "must be an object"),
        ({**ORDER, "more": 1}, "no 'more'"),
        ({"command_type": "Explode"}, "no command 'Explode'"),
        ({"payload": {}}, "no command None"),
        ({**ORDER, "payload": []}, "payload an object"),
        ({**ORDER, "file_id": 3}, "file_id must be a text"),
        ({"command_type": "UpscaleImage", "file_id": "nobody"}, "There is no file nobody"),
        ({**ORDER, "payload": {"path": "/etc/passwd"}}, "incoming only"),
        ({**ORDER, "payload": {"path": "../../secret.jpg"}}, "incoming only"),
        ({**ORDER, "payload": {"then": [{"command_type": "Explode"}]}}, "then must be"),
        (
            {**ORDER, "payload": {"then": [{"command_type": "UpdateImage", "payload": {"path": "/a.jpg"}}]}},
            "incoming only",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_half_done(database: Database, order: Any, words: str) -> None:
    with pytest.raises(UserMistake, match=words):
        inbox_of(database).take(json.dumps(order).encode())
    assert ProcessedHash.select().count() == Job.select().count() == 0


def test_of_deliveries_at_the_same_moment_one_makes_a_job(database: Database) -> None:
    taken, start = list[str | None](), threading.Barrier(10)

    def deliver(number: int) -> None:
        with database.connection_context():
            start.wait()
            taken.append(inbox_of(database).take(json.dumps(ORDER, indent=number).encode()).job_id)

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(job_id is None for job_id in taken) == [False] + [True] * 9
    assert Job.select().count() == ProcessedHash.select().count() == 1


def test_after_a_day_a_payload_counts_as_new(database: Database) -> None:
    clock = Ahead()
    inbox, body = inbox_of(database, clock), json.dumps(ORDER).encode()
    assert inbox.take(body).job_id is not None
    clock.ahead = DAY_SECONDS - 60
    assert inbox.take(body).job_id is None
    clock.ahead = DAY_SECONDS + 60
    assert inbox.take(body).job_id is not None
    assert ProcessedHash.select().count() == 1


def named(model: type[Model]) -> str | None:
    """Return the file that the table's only row names."""
    row: Any = model.get()
    found: str | None = row.file_id
    return found


def test_the_hash_names_the_file_and_outlives_it(database: Database) -> None:
    File.insert(id="f", original_filename="a.jpg", status="ingested").execute()
    inbox_of(database).take(json.dumps({"command_type": "UpscaleImage", "file_id": "f"}).encode())
    assert [named(ProcessedHash), named(Job)] == ["f", "f"]
    File.delete().execute()
    assert named(ProcessedHash) is None


def test_a_worker_forgets_old_hashes(bench: Bench) -> None:
    bench.inbox().take(json.dumps(ORDER).encode())
    Job.delete().execute()
    bench.clock.ahead = DAY_SECONDS + 60
    bench.drain()
    assert ProcessedHash.select().count() == 0


def deliver(root: Path, count: Count) -> None:
    bench = Bench(root)
    connect: Any = bench.database.connection
    connect().set_trace_callback(lambda statement: count())
    bench.inbox().take(json.dumps(ORDER).encode())


def test_wherever_the_endpoint_dies_a_delivery_that_is_repeated_makes_one_job(tmp_path: Path) -> None:
    points = lost = 0
    for event in range(1, 100):
        root = tmp_path / str(event)
        died = dies_at(event, partial(deliver, root))
        bench = Bench(root)
        assert Job.select().count() == ProcessedHash.select().count()
        lost += bool(died and not Job.select().count())
        bench.inbox().take(json.dumps(ORDER).encode())
        assert Job.select().count() == ProcessedHash.select().count() == 1
        bench.close()
        if not died:
            break
        points += 1
    assert points >= 5 and lost >= 3


@pytest.fixture
def home(tmp_path: Path, server: SandboxServer) -> Iterator[Crawler]:
    made = Crawler(tmp_path, server, WEBHOOK_PORT="0")
    yield made
    made.end()


def jobs_of(home: Crawler) -> int:
    with closing(sqlite3.connect(home.home / "data" / "fieldfen.db")) as database:
        return int(database.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])


def run_with(home: Crawler, given: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with given.open("rb") as standard_input:
        return subprocess.run(
            [*home.program, *arguments],
            cwd=ROOT,
            env=home.environment,
            stdin=standard_input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_the_endpoint_and_the_command_are_two_doors_of_one_house(home: Crawler, tmp_path: Path) -> None:
    home.start("publish", "serve")
    home.wait_until("it says where it listens", lambda: "POST http" in home.output)
    address = home.output.partition("POST ")[2].split()[0]
    body, form = json.dumps(ORDER), {"Content-Type": "application/json"}
    first = requests.post(address, body, headers=form, timeout=10)
    again = requests.post(address, json.dumps(ORDER, indent=2), headers=form, timeout=10)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["hash"] == again.json()["hash"] and again.json()["job_id"] is None
    refused = requests.post(address, "{", headers=form, timeout=10)
    assert refused.status_code == 400 and "no JSON" in refused.json()["error"]
    assert requests.post(address, body, headers={"Content-Type": "text/plain"}, timeout=10).status_code == 415
    assert requests.post(address, body, headers={**form, "Host": "evil.example"}, timeout=10).status_code == 400
    assert requests.post(address, b" " * 1_000_001, headers=form, timeout=10).status_code == 413
    assert requests.get(address, timeout=10).status_code == 405
    given = tmp_path / "payload.json"
    given.write_text(json.dumps(ORDER, indent=1), encoding="utf-8")
    told = run_with(home, given, "publish", "webhook")
    assert told.returncode == 0 and "taken in before" in told.stdout
    assert jobs_of(home) == 1
    assert home.stop() == 0

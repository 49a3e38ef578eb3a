"""`migrate-database`: a data set that moves to PostgreSQL is the same there, however often the move dies."""

from __future__ import annotations

import io
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playhouse.schema_diff import diff_models
from rich.console import Console

from crawler.outcome import Outcome, Position
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import SystemClock
from runtime.database import open_database
from runtime.errors import AlreadyRunning, CrawlError, OperatorNeeded, Stopped, UserMistake
from runtime.instance import single_instance
from runtime.settings import DEFAULT_DATABASE_URL, Home, load_settings
from runtime.stop import Stop
from runtime.work import DOWNLOADS
from sandbox import Sandbox, SandboxSettings
from tests.postgresql import new_database, own_server
from tests.rig import Rig, VirtualClock
from tests.truth import differences
from tests.upkeep.moves import After, database_file, move, write
from upkeep.migrate_commands import migrate_database
from upkeep.moving.mover import Moved
from upkeep.moving.tables import STATE, TABLES
from upkeep.moving.target import LOCK, opened, without_password

ROOT = Path(__file__).parents[2]
MARKET: dict[str, Any] = {"listings": 400, "shops": 8, "reviews_per_shop": 20.0}
NUMBERS = count()
Half = tuple[Rig, Path]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_server() as address:
        yield address


@pytest.fixture
def url(server: str) -> str:
    """The address of an empty database."""
    return new_database(server, f"target_{next(NUMBERS)}")


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a crawl that came as far as its first sleep; tests take a copy."""
    rig = market(tmp_path_factory.mktemp("crawled"))
    rig.run_cycle()
    rig.close()
    return rig.home.root


@pytest.fixture
def home(crawled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crawled, tmp_path / "home"))


def market(home: Path, rig: Rig | None = None, **settings: str) -> Rig:
    """Return a rig on the home; in another one's market and time where one is given."""
    if rig is not None:
        return Rig(home, rig.sandbox, rig.clock, **settings)
    clock = VirtualClock()
    return Rig(home, Sandbox(SandboxSettings(**MARKET), clock=clock.true), clock, **settings)


def stop_in_taxonomy(rig: Rig, offset: int) -> None:
    """Crawl until the next page of the plan is the one at this offset."""

    def observe(position: Position, outcome: Outcome | None) -> None:
        if position.state == "TAXONOMY" and position.cursor.get("offset") == offset:
            rig.stop.ask("the test")

    engine = rig.start()
    rig._observe_now = observe
    position = engine.run()
    rig._observe_now = None
    rig.close()
    assert (position.state, position.cursor["offset"]) == ("TAXONOMY", offset)


def asked_for(rig: Rig) -> Counter[tuple[str, str]]:
    """Return how often each page, listing, shop … was asked for; which listings share a batch is no matter."""
    found: Counter[tuple[str, str]] = Counter()
    for call in rig.sandbox.calls:
        together = call.params.get("listing_ids", "")
        one_by_one = together.split(",") if together else [repr(sorted(call.params.items()))]
        if call.endpoint != "ping" and call.status != 429:
            found.update((call.endpoint, one) for one in one_by_one)
    return found


def give(home: Path, url: str) -> str:
    """Give the command and return what it printed."""
    out = io.StringIO()
    assert migrate_database(load_settings(home, {}), Console(file=out, width=200, markup=False), url) == 0
    return out.getvalue()


def content_here(home: Path) -> dict[str, list[Any]]:
    """Return every row of the SQLite file as SQLite gives it; moments as PostgreSQL would show them."""
    with closing(sqlite3.connect(f"file:{database_file(home)}?mode=ro", uri=True)) as connection:
        return {
            table.name: sorted(
                connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}").fetchall(), key=repr
            )
            for table in (*TABLES, STATE)
        }


def content_there(url: str) -> dict[str, list[Any]]:
    """Return every row of the PostgreSQL database, without the row that says where it came from."""
    found = {}
    with psycopg.connect(url) as connection:
        for table in (*TABLES, STATE):
            columns = [f"{name}::text" if place in table.moments else name for place, name in enumerate(table.columns)]
            where = "WHERE key <> 'moved_from'" if table is STATE else ""
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table.name} {where}".encode()).fetchall()
            found[table.name] = sorted(rows, key=repr)
    return found


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_crawl_moved_in_the_middle_of_a_cycle_ends_with_the_truth_and_no_call_is_made_twice(
    url: str, tmp_path: Path
) -> None:
    alone = market(tmp_path / "alone")
    alone.run_cycle()
    rig = market(tmp_path / "home")
    stop_in_taxonomy(rig, 200)
    before = database_file(rig.home.root).read_bytes()
    assert "All " in give(rig.home.root, url)
    assert database_file(rig.home.root).read_bytes() == before
    moved = market(rig.home.root, rig, DATABASE_URL=url)
    moved.run_cycle()
    assert differences(moved.rows, rig.sandbox) == []
    assert asked_for(moved) == asked_for(alone)
    assert moved.database is not None and not diff_models(moved.database, CRAWLER_MODELS)
    moved.run_cycle(2)  # ids are counted on from the largest that was moved
    assert differences(moved.rows, rig.sandbox) == []
    moved.close()
    alone.close()


def test_every_row_is_there_and_the_words_say_how_to_go_on(home: Path, url: str) -> None:
    told = give(home, url)
    assert content_there(url) == content_here(home)
    assert re.search(r"reviews\s+│ [1-9]\d+", told) and "Next: set DATABASE_URL=postgresql://" in told
    assert f"Keep {database_file(home)} as a backup" in told
    assert ask(url, "SELECT tablename FROM pg_tables WHERE tablename = 'moving'") == []
    assert ask(url, "SELECT COUNT(*) FROM row_counts") == [(0,)]
    ((at,),) = ask(url, "SELECT value::json->>'at' FROM sync_state WHERE key = 'moved_from'")
    assert f"moved there already, at {at}" in give(home, url)


class Died(Exception):
    """Stands for whatever ends a process."""


def die() -> None:
    raise Died


class AfterOneRange:
    """Dies as soon as one more range of rows is committed."""

    def __init__(self) -> None:
        self.table = ""

    def __call__(self, moved: Moved) -> None:
        if moved.doing == "copying" and moved.table == self.table:
            raise Died
        self.table = moved.table


@pytest.mark.slow
def test_died_after_every_range_the_same_command_goes_on_and_ends_the_same(home: Path, url: str) -> None:
    here, total = content_here(home), 0
    for deaths in count():  # noqa: B007 - counted for the end
        try:
            move(home, url, AfterOneRange())
        except Died:
            there = {name: set(map(repr, rows)) for name, rows in content_there(url).items()}
            assert not there["sync_state"]
            assert all(rows <= set(map(repr, here[name])) for name, rows in there.items())
            rows = sum(map(len, there.values()))
            assert total <= rows <= total + 60
            total = rows
        else:
            break
    assert deaths > 40
    assert content_there(url) == here


@pytest.mark.parametrize("table", ["reviews", "sync_state"])
def test_a_transaction_that_fails_leaves_nothing_and_the_same_command_goes_on(home: Path, url: str, table: str) -> None:
    open_database(url, home, CRAWLER_MODELS, MIGRATIONS).close()
    full = "BEGIN RAISE 'No space left on device' USING ERRCODE = 'disk_full'; END"
    ask(url, f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {full} $$")
    ask(url, f"CREATE TRIGGER refused AFTER INSERT ON {table} EXECUTE FUNCTION refuse()")
    with pytest.raises(OperatorNeeded, match="No space left"):
        give(home, url)
    assert content_there(url)[table] == []
    assert ask(url, "SELECT COUNT(*) FROM moving")[0][0] > 1
    ask(url, f"DROP TRIGGER refused ON {table}")
    assert "Going on with the move" in give(home, url)
    assert content_there(url) == content_here(home)


@pytest.mark.parametrize("number", [1, 7, 23, 60])
def test_killed_it_goes_on_after_the_last_range_that_was_committed(home: Path, url: str, number: int) -> None:
    died = subprocess.run(
        [sys.executable, "-m", "tests.upkeep.moves", str(home), url, str(number)], cwd=ROOT, timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL
    there = sum(len(rows) for rows in content_there(url).values())
    seen: list[int] = []
    assert move(home, url, lambda moved: seen.append(moved.rows))
    assert there in seen
    assert content_there(url) == content_here(home)


def test_a_stop_ends_it_after_the_range_at_hand(home: Path, url: str) -> None:
    with pytest.raises(Stopped):
        move(home, url, After(20, (home / "KILL").touch))
    (home / "KILL").unlink()
    assert 0 < sum(len(rows) for rows in content_there(url).values()) < 40 * 25
    assert move(home, url)
    assert content_there(url) == content_here(home)


def test_a_crawl_started_on_a_half_filled_database_does_not_begin_anew(home: Path, url: str) -> None:
    with pytest.raises(Died):
        move(home, url, After(30, die))
    rig = market(home, DATABASE_URL=url)
    with pytest.raises(CrawlError) as refused:
        rig.start()
    rig.close()
    assert refused.value.exit_status == 2
    assert ask(url, "SELECT COUNT(*) FROM sync_state") == [(0,)]


def test_a_data_set_that_was_crawled_on_between_two_moves_is_copied_anew(
    crawled: Path, url: str, tmp_path: Path
) -> None:
    rig = market(tmp_path / "home")
    stop_in_taxonomy(rig, 200)
    with pytest.raises(Died):
        move(rig.home.root, url, After(30, die))
    rig.run_cycle()
    rig.close()
    assert not move(rig.home.root, url)
    assert content_there(url) == content_here(rig.home.root)


def test_a_row_that_is_not_the_same_is_named_and_the_next_run_starts_over(home: Path, url: str) -> None:
    write(
        home, "UPDATE listings SET title = 'A chair, 1 of 2' WHERE listing_id = (SELECT MIN(listing_id) FROM listings)"
    )
    with pytest.raises(Died):
        move(home, url, After(60, die))
    write(home, "UPDATE listings SET title = 'A chair, 2 of 2' WHERE title = 'A chair, 1 of 2'")
    with pytest.raises(OperatorNeeded, match=r"listings is not the same.*title is 'A chair, 2.*here, 'A chair, 1"):
        move(home, url)
    assert content_there(url)["sync_state"] == []
    assert not move(home, url)
    assert content_there(url) == content_here(home)


def test_texts_that_postgresql_does_not_take_are_cleaned_as_the_crawler_does(home: Path, url: str) -> None:
    write(home, "UPDATE listings SET title = 'a' || char(0) || 'b' || char(9, 10, 92) || 'N\U0001fa91'")
    write(home, "UPDATE listings SET description = CAST(x'63C3A9ED' AS TEXT), url = '', language = NULL")
    write(home, "UPDATE shops_dynamic SET review_average = 0.1 + 0.2, num_favorers = 9223372036854775807")
    give(home, url)
    told = ask(url, "SELECT DISTINCT title, description, url, language FROM listings")
    assert told == [("ab\t\n\\N\U0001fa91", "c\u00e9\ufffd", "", None)]
    assert ask(url, "SELECT DISTINCT review_average, num_favorers FROM shops_dynamic") == [(0.1 + 0.2, 2**63 - 1)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("UPDATE image_status SET width = 'wide'", "image_status.*width.*wide"),
        ("UPDATE image_status SET width = 3000000000", "image_status.*3000000000.*out of range"),
        ("UPDATE shops SET create_date = 1.5", "shops.*create_date.*1.5"),
        ("UPDATE reviews SET shop_id = 99", "reviews.*shop_id.*99.*not present"),
    ],
)
def test_a_value_of_another_type_is_named_and_once_mended_the_move_goes_on(
    home: Path, url: str, query: str, words: str
) -> None:
    kept = database_file(home).read_bytes()
    write(home, query)
    with pytest.raises(UserMistake, match=words):
        give(home, url)
    database_file(home).write_bytes(kept)
    give(home, url)
    assert content_there(url) == content_here(home)


def test_keys_that_are_texts_are_compared_though_the_server_sorts_them_otherwise(home: Path, url: str) -> None:
    for number, name in enumerate(["b-1", "B-1", "a_1", "a-1", "A1", "_", "é", "Z"] * 20):
        write(home, "INSERT INTO vector_batches VALUES (?, ?, 1, '{}', 'w', 'm')", f"{name}{number}", number)
    move(home, url)
    assert content_there(url) == content_here(home)


def test_more_rows_with_one_key_than_a_range_takes_go_together(home: Path, url: str) -> None:
    ((listing_id, shop_id),) = listing(home)
    for number in range(100):
        columns = "listing_id, image_id, shop_id, hex, suffix, is_primary"
        query = f"INSERT INTO image_status ({columns}) VALUES (?, ?, ?, '', '', 0)"
        write(home, query, listing_id, 10**12 + number, shop_id)
    move(home, url)
    assert content_there(url) == content_here(home)


def listing(home: Path) -> list[Any]:
    with closing(sqlite3.connect(database_file(home))) as connection:
        return connection.execute("SELECT listing_id, shop_id FROM listings ORDER BY 1 LIMIT 1").fetchall()


def test_rows_that_no_move_put_there_are_refused_and_left(home: Path, url: str) -> None:
    open_database(url, home, CRAWLER_MODELS, MIGRATIONS).close()
    ask(url, "INSERT INTO shops (shop_id) VALUES (1)")
    with pytest.raises(UserMistake, match="not empty"):
        give(home, url)
    assert ask(url, "SELECT shop_id FROM shops") == [(1,)]


def test_a_half_done_move_of_another_data_set_is_refused_and_left(home: Path, url: str, tmp_path: Path) -> None:
    with pytest.raises(Died):
        move(home, url, After(30, die))
    before = content_there(url)
    other = Path(shutil.copytree(home, tmp_path / "other"))
    with pytest.raises(UserMistake, match=str(home)):
        give(other, url)
    assert content_there(url) == before


def test_tables_of_the_same_names_that_are_not_ours_are_refused_and_left(home: Path, url: str) -> None:
    ask(url, "CREATE TABLE listings (name TEXT)")
    with pytest.raises(UserMistake, match="cannot be made"):
        give(home, url)
    assert ask(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") in (
        [("listings",)],
        [("listings",), ("schema_migration",)],
    )


@pytest.mark.parametrize("work", ["crawler", DOWNLOADS])
def test_while_anybody_works_on_the_home_it_is_refused(home: Path, url: str, work: str) -> None:
    with single_instance(Home(home).lock_of(work), SystemClock()), pytest.raises(AlreadyRunning):
        give(home, url)


def prepared(change: Callable[[Path], None] = lambda home: None, **settings: str) -> Callable[[Path], None]:
    def prepare(home: Path) -> None:
        change(home)
        lines = [f"{name}={value}" for name, value in settings.items()]
        (home / ".env").write_text("\n".join(lines), encoding="utf-8")

    return prepare


REFUSED = {
    "the source is a server": (prepared(DATABASE_URL="postgresql://host/db"), "", "names a server already"),
    "there is no source": (prepared(lambda home: shutil.rmtree(home / "data")), "", "there is no database"),
    "an address of SQLite": (prepared(), "sqlite:///other.db", "starts with postgresql://"),
    "no address": (prepared(), "furniture", "starts with postgresql://"),
    "a server that is not there": (prepared(), "postgresql:///db?host=/nowhere", "connection"),
    "an older source": (
        prepared(lambda home: write(home, "DELETE FROM schema_migration WHERE name LIKE '0005%'")),
        "",
        "older version",
    ),
    "a newer source": (
        prepared(
            lambda home: write(home, "INSERT INTO schema_migration (name, applied) VALUES ('0999_x', '2026-01-01')")
        ),
        "",
        "newer version",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_moved_is_refused_in_words(home: Path, url: str, what: str) -> None:
    prepare, address, words = REFUSED[what]
    prepare(home)
    with pytest.raises(CrawlError, match=f"(?i){words}") as refused:
        give(home, address or url)
    assert refused.value.exit_status == 2


def test_a_second_move_to_the_same_database_is_refused(home: Path, url: str) -> None:
    with psycopg.connect(url) as first:
        first.execute(f"SELECT pg_advisory_lock({LOCK})")
        with pytest.raises(AlreadyRunning, match="Another move"), opened(url, home, Stop(VirtualClock(), ())):
            pass
    give(home, url)


def test_what_others_point_at_is_copied_before_them() -> None:
    places = {table.name: place for place, table in enumerate(TABLES)}
    for model in CRAWLER_MODELS:
        for field in model._meta.refs:
            assert places[field.rel_model._meta.table_name] < places[model._meta.table_name]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cr3t@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?password=s3cr3t&user=me", "postgresql://host/db?user=me"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_source_may_lie_where_database_url_says(home: Path, url: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a folder" / "market.db"
    elsewhere.parent.mkdir()
    database_file(home).rename(elsewhere)
    (home / ".env").write_text(f'DATABASE_URL="sqlite:///{elsewhere}"', encoding="utf-8")
    assert str(elsewhere) in give(home, url)
    assert DEFAULT_DATABASE_URL not in give(home, url)

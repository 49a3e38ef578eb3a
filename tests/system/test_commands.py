"""The sub-commands, the refusals to start, and the key that appears nowhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import Fault
from tests.system.conftest import TINY, Build
from tests.system.process import BATCH, KEYSTRING, ROOT, SECRET, Crawler, is_alive, snapshot
from tests.truth import differences

COMMANDS = ("status", "dump", "restore", "verify", "again", "sync")
OWN_SETTINGS = [name for name in (".env", "settings.toml") if (ROOT / name).exists()]


# Refusals


@pytest.mark.skipif(bool(OWN_SETTINGS), reason=f"this checkout has settings of its own: {OWN_SETTINGS}")
@pytest.mark.parametrize("command", ["crawl", "sync"])
def test_without_a_key_it_ends_with_2_and_names_the_setting_and_the_demo(build: Build, command: str) -> None:
    crawler = build(ETSY_API_KEY="", ETSY_SHARED_SECRET="")
    ids = crawler.folder / "ids.txt"
    ids.write_text("1\n", encoding="utf-8")
    done = crawler.run(*(["sync", str(ids)] if command == "sync" else []))
    assert done.returncode == 2
    assert "ETSY_API_KEY" in done.stderr
    assert "`make demo`" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not crawler.database.exists()


def test_a_second_start_ends_with_4_and_names_the_process_that_runs(build: Build) -> None:
    crawler = build(market=TINY)
    process = crawler.start()
    crawler.wait_for_state("SLEEP")
    with ThreadPoolExecutor() as threads:
        refused = list(threads.map(lambda words: crawler.run(*words), [[], ["sync", str(write_ids(crawler, "1"))]]))
    for done in refused:
        assert done.returncode == 4
        assert f"process {process.pid} " in done.stderr
        assert "since 20" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert is_alive(process.pid)
    assert crawler.stop() == 0


def test_a_dead_key_ends_with_3_and_a_sentence_after_one_ping(build: Build) -> None:
    crawler = build()
    crawler.sandbox.faults.add(Fault("dead_key"))
    done = crawler.run()
    assert done.returncode == 3
    assert "The API refuses the key" in done.stderr
    assert "ETSY_API_KEY" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert [call.endpoint for call in crawler.calls()] == ["getBuyerTaxonomyNodes", "ping"]


def test_a_key_that_dies_on_the_way_ends_with_3_and_a_good_one_goes_on(build: Build) -> None:
    crawler = build()
    crawler.sandbox.faults.add(Fault("dead_key", after=6))
    crawler.start()
    assert crawler.wait_for_end(30) == 3
    before = crawler.position()
    assert before["state"] == "TAXONOMY"
    crawler.sandbox.faults.clear()
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []


def test_a_wrong_secret_is_refused_with_3_and_not_told(build: Build) -> None:
    crawler = build(ETSY_SHARED_SECRET="wrongsecret77")
    done = crawler.run()
    assert done.returncode == 3
    assert "wrongsecret77" not in done.stdout + done.stderr


# Status


def test_status_before_the_first_start_says_how_to_start(build: Build) -> None:
    done = build().run("status")
    assert done.returncode == 2
    assert "`python run.py`" in done.stderr


def test_status_tells_the_position_while_it_runs_and_after(build: Build) -> None:
    crawler = build()
    stand_still(crawler, calls=5)
    told = status(crawler)
    assert told["running"] is True
    assert told["position"]["state"] == "TAXONOMY"
    assert told["intervals"]["plan"][0]["taxonomy_id"] == 967
    assert told["quota"]["limit"] == 100
    assert told["due"]["listings"] > 0
    assert crawler.stop() == 0
    told = status(crawler)
    assert told["running"] is False
    assert told["position"] == crawler.position()
    assert told["rows"]["listings"] == crawler.rows("SELECT COUNT(*) FROM listings")[0][0]
    assert sum(told["calls_24h_by_endpoint"].values()) == len(crawler.sandbox.calls) == 6
    done = crawler.run("status")
    assert done.returncode == 0
    assert f"offset {told['position']['cursor']['offset']}" in " ".join(done.stdout.split())


def stand_still(crawler: Crawler, calls: int) -> None:
    """Start, and let the call after so many hang, so that the position stays while a test looks at it."""
    crawler.sandbox.faults.add(Fault("timeout", after=calls, seconds=60))
    crawler.start()
    crawler.wait_for_calls(calls + 1)


def status(crawler: Crawler) -> dict[str, Any]:
    done = crawler.run("status", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_status_dump_and_verify_make_no_call_and_change_no_row(copy: Crawler) -> None:
    before = snapshot(copy)
    for command in ("status", "dump", "verify"):
        assert copy.run(command).returncode == 0
    assert snapshot(copy) == before
    assert copy.calls() == []


# Dump and restore


def dump(crawler: Crawler) -> Path:
    done = crawler.run("dump")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return Path(line)


def test_dump_prints_the_path_of_a_file_that_tells_everything_but_the_key(copy: Crawler) -> None:
    path = dump(copy)
    assert path.parent == copy.home / "checkpoints"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["position"] == copy.position()
    wanted = {"intervals", "due", "quota", "calls_per_second", "failed_items", "trouble", "versions", "rows"}
    assert wanted <= told.keys()
    assert told["intervals"]["plan"][0]["pages"] == 2
    assert KEYSTRING not in path.read_text(encoding="utf-8")
    assert SECRET not in path.read_text(encoding="utf-8")


def test_restore_puts_the_position_back_and_the_crawl_goes_on_from_there(copy: Crawler) -> None:
    before, path = copy.position(), dump(copy)
    copy.crawl_to_sleep()
    seen = len(copy.sandbox.calls)
    done = copy.run("restore", str(path))
    assert done.returncode == 0, done.stderr
    assert copy.position() == before
    assert f"offset {before['cursor']['offset']}" in " ".join(done.stdout.split())
    assert len(copy.sandbox.calls) == seen
    copy.crawl_to_sleep()
    assert copy.calls(since=seen)[0].params["offset"] == str(before["cursor"]["offset"])
    assert differences(copy.rows, copy.sandbox) == []


def spoil(told: dict[str, Any], how: str) -> str:
    cursor = told["position"]["cursor"]
    if how == "no JSON":
        return "this is no dump"
    if how == "no dump":
        return '{"taxonomies": []}'
    if how == "unknown state":
        told["position"]["state"] = "DREAMING"
    elif how == "interval not in the plan":
        cursor["interval_id"] = 4711
    elif how == "other bounds":
        cursor["min_price"] = 12.5
    elif how == "newer version":
        told["position"]["version"] = 2
    return json.dumps(told)


@pytest.mark.parametrize(
    "how",
    [
        "no JSON",
        "no dump",
        "unknown state",
        "interval not in the plan",
        "other bounds",
        "newer version",
    ],
)
def test_restore_refuses_what_does_not_fit_and_changes_nothing(half_way: Crawler, tmp_path: Path, how: str) -> None:
    before = snapshot(half_way)
    path = tmp_path / "spoilt.json"
    told = {"position": half_way.position(), "cycle": half_way.state("cycle")}
    path.write_text(spoil(told, how), encoding="utf-8")
    done = half_way.run("restore", str(path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.strip().endswith(".")
    assert "Traceback" not in done.stderr
    assert snapshot(half_way) == before


def test_restore_of_a_file_that_is_not_there_ends_with_2(half_way: Crawler) -> None:
    done = half_way.run("restore", "nowhere.json")
    assert done.returncode == 2
    assert "nowhere.json" in done.stderr


def test_restore_while_the_crawler_runs_ends_with_4(copy: Crawler) -> None:
    path = dump(copy)
    stand_still(copy, calls=2)
    before = copy.position()
    assert before != json.loads(path.read_text(encoding="utf-8"))["position"]
    assert copy.run("restore", str(path)).returncode == 4
    assert copy.stop() == 0
    assert copy.position() == before


# Verify


def test_verify_finds_a_whole_data_set_in_sync_and_names_what_is_missing(build: Build) -> None:
    crawler = build(market=TINY)
    crawler.crawl_to_sleep()
    done = crawler.run("verify")
    assert done.returncode == 0, done.stderr
    assert "in sync" in done.stdout
    listing_id = crawler.rows("SELECT listing_id FROM listings ORDER BY listing_id LIMIT 1")[0][0]
    crawler.write("DELETE FROM image_status WHERE listing_id = ?", listing_id)
    crawler.write("DELETE FROM listings_dynamic WHERE listing_id = ?", listing_id)
    done = crawler.run("verify")
    assert done.returncode == 0, done.stderr
    assert "gaps" in done.stdout
    assert str(listing_id) in done.stdout
    assert len(crawler.sandbox.calls) == 6


def test_verify_before_the_first_start_says_how_to_start(build: Build) -> None:
    done = build().run("verify")
    assert done.returncode == 2
    assert "`python run.py`" in done.stderr


# Sync


def write_ids(crawler: Crawler, text: str) -> Path:
    path = crawler.folder / "ids.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_sync_fetches_exactly_the_listings_that_the_file_names(build: Build) -> None:
    """Also one that is not wanted; comments, empty lines and repeats are passed over."""
    crawler = build()
    active = {key: row for key, row in crawler.sandbox.truth().listings.items() if row["state"] == "active"}
    old = [key for key, row in active.items() if (row["when_made"] or "").startswith("before")]
    chosen = [*list(active)[:2], old[-1]]
    lines = ["# chosen by hand", *(f"{key}  # a chair" for key in chosen), "", str(chosen[0])]
    done = crawler.run("sync", str(write_ids(crawler, "\n".join(lines))))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("3 of 3 listings are up to date.")
    (call,) = crawler.calls()
    assert call.endpoint == BATCH
    assert call.params["listing_ids"] == ",".join(map(str, chosen))
    assert sorted(row[0] for row in crawler.rows("SELECT listing_id FROM listings")) == sorted(chosen)
    assert crawler.rows("SELECT COUNT(*) FROM listings_dynamic") == [(3,)]


def test_sync_asks_for_a_hundred_at_a_time_and_again_without_the_ones_that_are_gone(build: Build) -> None:
    crawler = build()
    active = [key for key, row in crawler.sandbox.truth().listings.items() if row["state"] == "active"][:150]
    done = crawler.run("sync", str(write_ids(crawler, "\n".join(map(str, [99, *active])))))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("151 of 151 listings are up to date.")
    assert [call.status for call in crawler.calls(BATCH)] == [404, 200, 200]
    assert [len(call.params["listing_ids"].split(",")) for call in crawler.calls()] == [100, 100, 50]
    assert sorted(row[0] for row in crawler.rows("SELECT listing_id FROM listings")) == sorted(active)


def test_sync_between_two_runs_of_the_crawl_leaves_its_position_alone(copy: Crawler) -> None:
    before = copy.position()
    (listing_id,) = copy.rows("SELECT MIN(listing_id) FROM indexed_listings WHERE wanted = 1")[0]
    assert copy.run("sync", str(write_ids(copy, str(listing_id)))).returncode == 0
    assert copy.position() == before
    assert len(copy.sandbox.calls) == 1
    copy.crawl_to_sleep()
    assert differences(copy.rows, copy.sandbox) == []


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        (
            "1001\nchair\n1002\n-5\n3.5\n12345678901234567890123\n١٢٣\n",
            ["line 2: 'chair'", "line 4: '-5'", "line 5: '3.5'", "line 6: ", "line 7: "],
        ),
        ("\n".join(f"x{n}" for n in range(1, 31)), ["line 10: 'x10'", "and 20 more"]),
        ("# nothing\n\n", ["names no listing"]),
    ],
)
def test_sync_refuses_rubbish_by_line_number_and_makes_no_call(
    half_way: Crawler, tmp_path: Path, text: str, signs: list[str]
) -> None:
    calls = len(half_way.sandbox.calls)
    path = tmp_path / "ids.txt"
    path.write_text(text, encoding="utf-8")
    done = half_way.run("sync", str(path))
    assert done.returncode == 2
    for sign in signs:
        assert sign in done.stderr
    assert len(half_way.sandbox.calls) == calls


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x01"])
def test_sync_names_a_file_that_cannot_be_read(half_way: Crawler, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    done = half_way.run("sync", str(path))
    assert done.returncode == 2
    assert "ids.txt cannot be read" in done.stderr


# The key, and help


@pytest.mark.slow
def test_the_key_appears_in_no_file_no_output_and_no_process_list(build: Build) -> None:
    """Though calls fail in many ways, with retries, a dump, a dead key and a wrong secret in the logs."""
    crawler = build(rate=100)
    faults = crawler.sandbox.faults
    for number, name in enumerate(("server_error", "reset", "cut_body", "html", "per_second_429")):
        faults.add(Fault(name, after=2 + 3 * number, count=1))
    process = crawler.start()
    crawler.wait_for_calls(18)
    assert b"run.py" in process_arguments(process.pid)
    with ThreadPoolExecutor() as threads:
        printed = list(threads.map(lambda words: crawler.run(*words), [["status", "--json"], ["dump"], []]))
    told = [process_arguments(process.pid)]
    crawler.wait_for_state("SLEEP")
    assert crawler.stop() == 0
    assert set(faults.struck().values()) == {1}
    told.append(crawler.output.encode())
    faults.add(Fault("dead_key"))
    printed.append(crawler.run("sync", str(write_ids(crawler, "5"))))
    assert printed[-1].returncode == 3
    told += [(done.stdout + done.stderr).encode() for done in printed]
    files = [path for path in crawler.folder.rglob("*") if path.is_file()]
    assert {"qps_config.json", "crawler.log"} <= {path.name for path in files}
    for secret in (KEYSTRING, SECRET):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert not [path for path in files if secret in str(path)]
        assert not [text for text in told if secret.encode() in text]


def process_arguments(pid: int) -> bytes:
    path = Path(f"/proc/{pid}/cmdline")
    if not path.exists():
        pytest.skip("there is no /proc here to read the process list from")
    return path.read_bytes()


def test_the_help_of_every_command_has_an_example_of_it(half_way: Crawler) -> None:
    with ThreadPoolExecutor() as threads:
        printed = dict(
            zip(COMMANDS, threads.map(lambda command: half_way.run(command, "--help"), COMMANDS), strict=True)
        )
    for command, done in printed.items():
        assert done.returncode == 0
        assert f"example: python run.py {command}" in done.stdout


def test_the_help_names_every_command_and_an_unknown_one_ends_with_2(half_way: Crawler) -> None:
    told = half_way.run("--help").stdout
    for command in COMMANDS:
        assert f"\n    {command} " in told
    done = half_way.run("statsu")
    assert done.returncode == 2
    assert "statsu" in done.stderr

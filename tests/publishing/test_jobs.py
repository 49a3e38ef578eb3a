"""The queue: each job to one worker at a time, tried again after growing waits, never lost; on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peewee import Database

from models.publishing import File, Job
from publishing import jobs
from publishing.records import Claim
from publishing.retries import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Rule
from runtime.clock import SystemClock
from runtime.database import transaction
from runtime.stop import Stop

NOW = 1_800_000_000.0
RULE = Rule(most_attempts=5, stalled_seconds=900.0)
NEVER = Stop(SystemClock(), ())


def take(database: Database, now: float = NOW, rule: Rule = RULE) -> Claim | None:
    """Claim the next job as a worker does."""
    for job_id, file_id in jobs.candidates(rule, now):
        with transaction(database, NEVER):
            claimed = jobs.claim(job_id, file_id, now)
        if claimed:
            return claimed
    return None


def get(database: Database, now: float = NOW, rule: Rule = RULE) -> Claim:
    claimed = take(database, now, rule)
    assert claimed is not None
    return claimed


def add_file(file_id: str = "f") -> None:
    File.insert(id=file_id, original_filename="a.jpg", status="ingested").execute()


def row(job_id: str) -> Job:
    found: Job = Job.get_by_id(job_id)
    return found


def test_jobs_come_in_their_order_and_each_once(database: Database) -> None:
    ids = [jobs.enqueue("DeleteFile", {"n": number}, NOW + number / 10) for number in range(3)]
    assert [get(database, NOW + 1).id for _ in ids] == ids
    assert {UUID(job_id).version for job_id in ids} == {4}
    assert take(database, NOW + 1) is None


def test_many_workers_share_many_jobs_and_no_file_has_two_at_once(database: Database) -> None:
    for number in range(4):
        add_file(f"f{number}")
    for number in range(40):
        jobs.enqueue("UpscaleImage", {}, NOW, f"f{number % 4}")
    done, busy, trouble = Counter[str](), Counter[str](), list[str]()
    lock, start = threading.Lock(), threading.Barrier(6)

    def work() -> None:
        with database.connection_context():
            start.wait()
            while jobs.is_anything_open():
                claimed = take(database)
                if claimed is None:
                    continue
                with lock:
                    busy[str(claimed.file_id)] += 1
                    trouble.extend(name for name, number in busy.items() if number > 1)
                assert jobs.holds(claimed)
                with lock:
                    busy[str(claimed.file_id)] -= 1
                    done[claimed.id] += 1
                with transaction(database, NEVER):
                    assert jobs.complete(claimed, {}, NOW)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert trouble == []
    assert set(done.values()) == {1} and len(done) == 40
    assert jobs.counts()["completed"] == 40


def test_a_job_is_tried_again_after_growing_waits_and_then_given_up(database: Database) -> None:
    job_id, now, waits = jobs.enqueue("UpscaleImage", {}, NOW), NOW, list[float]()
    for attempt in range(1, RULE.most_attempts + 1):
        claimed = get(database, now)
        assert claimed.attempt == attempt
        assert jobs.put_back(claimed, f"trouble {attempt}")
        assert row(job_id).last_error == f"trouble {attempt}"
        wait = RULE.wait_seconds(attempt)
        assert take(database, now + wait - 1) is None
        waits.append(wait)
        now += wait
    assert waits == sorted(set(waits)) and waits[0] == FIRST_WAIT_SECONDS
    assert RULE.is_last(5) and not RULE.is_last(4)


@given(attempts=st.integers(0, 10_000))
def test_a_wait_is_never_longer_than_an_hour(attempts: int) -> None:
    assert 0 <= RULE.wait_seconds(min(attempts, 1000)) <= LONGEST_WAIT_SECONDS


def test_a_stalled_job_is_taken_up_and_its_former_holder_writes_nothing(database: Database) -> None:
    job_id = jobs.enqueue("UpscaleImage", {}, NOW)
    first = get(database)
    assert jobs.recover_stalled(RULE, NOW + 899) == 0
    assert jobs.recover_stalled(RULE, NOW + 901) == 1
    assert not jobs.holds(first)
    second = get(database, NOW + 901)
    assert (second.id, second.attempt) == (job_id, 2)
    assert not jobs.complete(first, {"by": "first"}, NOW + 902)
    assert not jobs.fail(first, "by the first", NOW + 902)
    assert not jobs.put_back(first, "by the first") and not jobs.release(first)
    assert jobs.holds(second) and jobs.complete(second, {"by": "second"}, NOW + 903)
    assert row(job_id).result_json == '{"by":"second"}'
    assert row(job_id).last_error is None


def test_a_job_that_stalls_in_its_last_try_has_failed(database: Database) -> None:
    job_id, once = jobs.enqueue("UpscaleImage", {}, NOW), Rule(most_attempts=1, stalled_seconds=10)
    get(database, rule=once)
    assert jobs.recover_stalled(once, NOW + 11) == 1
    assert (row(job_id).status, row(job_id).last_error) == ("failed", jobs.STALLED)


def test_a_job_put_back_at_a_stop_has_not_been_tried(database: Database) -> None:
    job_id = jobs.enqueue("UpscaleImage", {}, NOW)
    assert jobs.release(get(database))
    assert (row(job_id).status, row(job_id).attempts) == ("pending", 0)
    assert get(database).id == job_id


def test_only_failed_jobs_are_tried_anew(database: Database) -> None:
    failed, done = jobs.enqueue("UpscaleImage", {}, NOW), jobs.enqueue("UpscaleImage", {}, NOW + 1)
    jobs.fail(get(database, NOW + 1), "trouble", NOW)
    jobs.complete(get(database, NOW + 1), {}, NOW)
    assert jobs.failed_ids() == [failed]
    assert jobs.retry([failed, done, "nobody"]) == 1
    assert (row(failed).status, row(failed).attempts) == ("pending", 0)
    assert row(done).status == "completed"


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_payload_that_json_has_no_form_for_makes_no_job(database: Database, value: object) -> None:
    with pytest.raises(ValueError):
        jobs.enqueue("UpscaleImage", {"factor": value}, NOW)
    assert Job.select().count() == 0

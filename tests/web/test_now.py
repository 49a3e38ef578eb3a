"""The page Now: a day's calls, and what comes next."""

from __future__ import annotations

from typing import Any

from runtime.clock import DAY_SECONDS
from web.now import count_calls, now_context
from web.standing import Standing

AT = 1_795_000_000.0
HALF_HOUR = 1800.0


def test_calls_are_counted_by_the_half_hour_and_by_the_day_before_each() -> None:
    calls = ((AT - 30 * 3600, 700), (AT - 7200, 90), (AT - HALF_HOUR, 1800), (AT - 60, 180))
    moments, rate, used = count_calls(Standing(AT, {}, calls))
    assert len(moments) == len(rate) == len(used) == 48
    assert moments[-1] == AT and moments[0] == AT - DAY_SECONDS + HALF_HOUR
    assert rate[-1] == (1800 + 180) / HALF_HOUR and rate[-2] == 0 and rate[-4] == 90 / HALF_HOUR
    assert used[-1] == 90 + 1800 + 180 and used[0] == 700
    # What was called thirty hours ago counts until a day later, six hours ago.
    assert used[35] == 700 and used[36] == 0


def told(**changed: Any) -> dict[str, Any]:
    position = {"state": "TAXONOMY", "cursor": {}, "cycle": 3, "entered_at": "2026-11-22T00:00:00Z"}
    return {
        "position": position,
        "quota": {"limit": 5000, "available": 12, "used_24h": 4988, "next_call_at": "2026-11-22T05:00:00Z"},
        "forecast": {
            "calls_left": 40,
            "ends_at": "2026-11-23T00:00:00Z",
            "next_cycle_at": "2026-11-29T00:00:00Z",
            "fits": True,
        },
        "images": {"queued": 0, "done": 0, "downloads": None},
        "listings": {"seen": 0, "known": 0},
        "rows": {"shops": 0, "reviews": 0, "listings_dynamic": 0},
        "calls_per_second": 0.0,
        "last_call_at": None,
        "trouble": None,
        "failed_items": [],
        **changed,
    }


def coming(**changed: Any) -> str:
    return str(dict(now_context(Standing(AT, told(**changed)))["rows"])["Next"])


def test_what_comes_next_is_told_the_soonest_first() -> None:
    calls, cycle = "the cycle's calls are made at 2026-11-23T00:00:00Z", "the next cycle begins at 2026-11-29T00:00:00Z"
    assert coming() == f"{calls}; {cycle}"
    used_up = {"limit": 5000, "available": 0, "used_24h": 5000, "next_call_at": "2026-11-22T05:00:00Z"}
    assert coming(quota=used_up) == f"a call is free again at 2026-11-22T05:00:00Z; {calls}; {cycle}"
    asleep = {
        "state": "SLEEP",
        "cursor": {"reason": "cycle", "until": "2026-11-22T06:00:00Z"},
        "cycle": 3,
        "entered_at": "2026-11-22T00:00:00Z",
    }
    assert coming(position=asleep).startswith("the crawl wakes at 2026-11-22T06:00:00Z; ")


def test_the_last_errors_are_told() -> None:
    failed = [
        {"kind": "listing", "item_id": "7", "error": "odd", "last_failed_at": f"2026-11-22T0{hour}:00:00Z"}
        for hour in range(9)
    ]
    trouble = {"at": "2026-11-22T00:00:00Z", "error": "the server is away"}
    told_rows = now_context(Standing(AT, told(failed_items=failed, trouble=trouble)))["rows"]
    assert ("Last trouble", "2026-11-22T00:00:00Z: the server is away") in told_rows
    assert [value for name, value in told_rows if name == "Failed listing"] == [
        f"7, at 2026-11-22T0{hour}:00:00Z: odd" for hour in range(3)
    ]


def test_the_limit_is_a_line_of_its_own() -> None:
    curves = dict(now_context(Standing(AT, told(), ((AT - 60, 30),)))["curves"])
    assert ">limit</text>" in curves["The quota"]
    assert now_context(Standing(AT, told()))["curves"] == []

"""The sub-commands that only look: they load neither what makes calls nor what the machine does, and answer at once."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from crawler import report
from crawler.forecast import load_quota
from crawler.parts import Parts, build_parts, reading
from crawler.survey import forecast, stand, survey
from runtime.errors import UserMistake
from runtime.instance import is_running
from runtime.settings import Settings
from runtime.work import DOWNLOADS, EMBED


def status(settings: Settings, console: Console, as_json: bool) -> int:
    """Print where the crawl stands."""
    told = tell_status(settings, console)
    if as_json:
        console.file.write(json.dumps(told, indent=1, ensure_ascii=False, default=str) + "\n")
    else:
        console.print(report.status_table(told))
    return 0


def tell_status(settings: Settings, console: Console) -> dict[str, Any]:
    """Return where the crawl stands, as JSON values; UserMistake and OperatorNeeded where nobody can tell."""
    parts = build_parts(settings, console)
    with reading(parts):
        return gather_status(parts)


def gather_status(parts: Parts) -> dict[str, Any]:
    """Return where the crawl stands, as JSON values; the database is open."""
    told = survey(parts.freshness, parts.clock.now())
    told["running"] = is_running(parts.home.lock)
    told["downloading"] = is_running(parts.home.lock_of(DOWNLOADS))
    told["embedding"] = is_running(parts.home.lock_of(EMBED))
    return told


def plan(settings: Settings, console: Console, as_json: bool) -> int:
    """Print what the cycle under way and a whole one cost, beside the day's calls; no call is made."""
    parts = build_parts(settings, console)
    now = parts.clock.now()
    with reading(parts):
        standing = stand(parts.freshness, now)
        if standing is None:
            raise UserMistake("There is nothing to plan with yet.", advice="Start with `python run.py`.")
        told = forecast(standing, parts.freshness, load_quota(), now).as_json()
    if as_json:
        console.file.write(json.dumps(told, indent=1) + "\n")
        return 0
    console.print(report.plan_table(told))
    for words in report.plan_words(told):
        console.print(words, highlight=False, soft_wrap=True)
    return 0

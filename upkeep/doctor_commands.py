"""The sub-command `doctor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console

from runtime.errors import CrawlError
from runtime.settings import Settings
from upkeep.doctor import BAD, DOUBTFUL, OK, Patient, examine
from upkeep.wiring import build_parts

SIGNS = {OK: "  ok ", DOUBTFUL: "  ?  ", BAD: "  !! "}
NEEDS_YOU = 2


def doctor(
    settings: Settings,
    console: Console,
    survey: Callable[[Settings, Console], Mapping[str, Any]],
    try_key: Callable[[Settings, Console], tuple[int, str]],
) -> int:
    """Examine the home and the machine, print what was found; exit status 2 where something is bad, else 0.

    Where no crawl is at work, one call is made to try the key.
    """
    parts = build_parts(settings, console)
    try:
        told = survey(settings, console)
    except CrawlError:  # the checks say why
        told = {}
    found = []
    for finding in examine(Patient(parts, told, partial(try_key, settings, console))):
        found.append(finding)
        words = f"{SIGNS[finding.level]}{finding.about}: {finding.words} {finding.advice}".rstrip()
        console.print(words, highlight=False, soft_wrap=True)
    bad = sum(finding.level == BAD for finding in found)
    doubtful = sum(finding.level == DOUBTFUL for finding in found)
    console.print(f"{bad} bad, {doubtful} doubtful, {len(found) - bad - doubtful} well.", highlight=False)
    return NEEDS_YOU if bad else 0

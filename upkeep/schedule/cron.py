"""The jobs as lines of the user's crontab, between two marks; all other lines stay as they are, byte for byte.

Cron cannot keep a program alive without starting what a KILL file stopped: the crawl begins when the computer does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from upkeep.schedule.jobs import NAME, Job, Place

MOST_LETTERS = 990  # cron takes a command of 999
NUMBERS = r"[0-9]{1,2}(?:,[0-9]{1,2})*"
LINE = re.compile(rf"(?:@reboot|{NUMBERS} (?:\*|{NUMBERS}) \* \* \*) (?P<command>(?:[^%\n\\]|\\.)+)")
"""A line as we write it, from crontab(5): five fields or @reboot, then a command in which no bare % stands."""


def marks(place: Place) -> tuple[str, str]:
    """Return the lines before and after ours."""
    return f"# >>> {NAME} {place.mark} >>>", f"# <<< {NAME} {place.mark} <<<"


def render(jobs: Sequence[Job], place: Place) -> str:
    """Return the block of lines, marks included."""
    first, last = marks(place)
    lines = [first, f"# {place.home}", *(_line(job, place) for job in jobs), last]
    return "".join(f"{line}\n" for line in lines)


def mistakes(block: str) -> list[str]:
    """Return the lines that cron would not take, or would take for others."""
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    return [line for line in lines if not LINE.fullmatch(line) or len(line) > MOST_LETTERS]


def block_of(crontab: bytes, place: Place) -> str:
    """Return our block in a crontab, empty where there is none."""
    match = _block(place).search(crontab)
    return match[0].decode() if match else ""


def without_block(crontab: bytes, place: Place) -> bytes:
    """Return the crontab without our block."""
    return _block(place).sub(b"", crontab)


def with_block(crontab: bytes, block: str, place: Place) -> bytes:
    """Return the crontab with this block of ours, at its place or at the end."""
    if block_of(crontab, place):
        return _block(place).sub(lambda match: block.encode(), crontab)
    return crontab + (b"" if crontab.endswith(b"\n") or not crontab else b"\n") + block.encode()


def _block(place: Place) -> re.Pattern[bytes]:
    first, last = (re.escape(mark.encode()) for mark in marks(place))
    return re.compile(rb"^" + first + rb"\n.*?^" + last + rb"(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def _line(job: Job, place: Place) -> str:
    where = f"CRAWLER_HOME={shlex.quote(str(place.home))}"
    output = f">> {shlex.quote(str(place.output(job)))} 2>&1"
    calls = [f"{where} {shlex.join(place.command(arguments))} {output}" for arguments in job.commands]
    # An empty pair of quotes before: a backslash of the path itself would undo that of the sign.
    command = "; ".join(calls).replace("%", "''\\%")
    return f"{_when(job)} {command}"


def _when(job: Job) -> str:
    if job.times is None:
        return "@reboot"
    hours = ",".join(map(str, job.times.hours)) or "*"
    return f"{','.join(map(str, job.times.minutes))} {hours} * * *"

"""The jobs as units of a user's systemd."""

from __future__ import annotations

import re
from collections.abc import Iterator

from upkeep.schedule.jobs import NAME, Job, Place, Times

RESTART_SECONDS, STOP_SECONDS = 30, 20
NEVER_AGAIN = "2 3 4"  # wrong settings, a refused key, already running: a restart does not help
KEYS = {
    "Unit": {"Description", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "ExecStart", "Environment", "StandardOutput", "StandardError"),
        *("Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStopSec"),
    },
    "Timer": {"OnCalendar", "Persistent", "Unit"},
    "Install": {"WantedBy"},
}
"""The sections and keys that we use, from systemd.service(5) and systemd.timer(5)."""
LINE = re.compile(r"\[(?P<section>\w+)\]|(?P<key>\w+)=(?P<value>.+)|")


def unit(job: Job, place: Place, kind: str) -> str:
    """Return the name of the job's service or timer."""
    return f"{NAME}-{place.mark}-{job.name}.{kind}"


def begun_by(job: Job, place: Place) -> str:
    """Return the unit that is enabled so that the job runs."""
    return unit(job, place, "service" if job.times is None else "timer")


def render(job: Job, place: Place) -> dict[str, str]:
    """Return the unit files by name."""
    files = {unit(job, place, "service"): "\n".join(_service(job, place)) + "\n"}
    if job.times is not None:
        files[unit(job, place, "timer")] = "\n".join(_timer(job, job.times)) + "\n"
    return files


def mistakes(text: str) -> list[str]:
    """Return the lines that are of no section or key that a unit file may have."""
    found, section = [], ""
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None or (match["key"] and match["key"] not in KEYS.get(section, ())):
            found.append(line)
        elif match["section"]:
            section = match["section"]
            found += [] if section in KEYS else [line]
    return found


def _service(job: Job, place: Place) -> Iterator[str]:
    lasting = job.times is None
    yield from ("[Unit]", f"Description={_plain(f'{NAME}: {job.words} ({place.home})')}")
    yield from ["StartLimitIntervalSec=0"] if lasting else []  # tried again for as long as it takes
    yield from ("", "[Service]", f"Type={'exec' if lasting else 'oneshot'}")
    for number, arguments in enumerate(job.commands, 1):
        # What comes after it does not depend on how the one before ended.
        ignored = "-" if number < len(job.commands) else ""
        program, *others = place.command(arguments)
        words = " ".join([_quoted(program), *(_quoted(word, is_expanded=True) for word in others)])
        yield f"ExecStart={ignored}{words}"
    yield f"Environment={_quoted(f'CRAWLER_HOME={place.home}')}"
    yield f"StandardOutput=append:{_plain(str(place.output(job)))}"
    yield "StandardError=inherit"
    yield f"TimeoutStopSec={STOP_SECONDS}"
    if lasting:
        yield from ("Restart=on-failure", f"RestartSec={RESTART_SECONDS}")
        yield from (f"RestartPreventExitStatus={NEVER_AGAIN}", "", "[Install]", "WantedBy=default.target")


def _timer(job: Job, times: Times) -> Iterator[str]:
    hours = ",".join(f"{hour:02}" for hour in times.hours) or "*"
    minutes = ",".join(f"{minute:02}" for minute in times.minutes)
    yield from ("[Unit]", f"Description={_plain(f'{NAME}: {job.words}')}", "")
    yield from ("[Timer]", f"OnCalendar=*-*-* {hours}:{minutes}:00", "Persistent=true", "")
    yield from ("[Install]", "WantedBy=timers.target")


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str, is_expanded: bool = False) -> str:
    """Return a word of a line; in an `is_expanded` one a dollar sign would begin a variable's name."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped.replace("$", "$$") if is_expanded else escaped}"'

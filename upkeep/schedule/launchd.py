"""The jobs as launchd's property lists."""

from __future__ import annotations

import plistlib
from itertools import product
from typing import Any

from upkeep.schedule.jobs import NAME, Job, Place

THROTTLE_SECONDS, EXIT_SECONDS = 30, 20
# launchd knows only "ended well" and "did not": what a restart does not help (2 wrong settings, 3 the key is refused,
# 4 already running) must end well for it, or a refused key would be tried every half minute. The shell stays, so that
# the exit status is the crawler's own; caffeinate watches it and passes nothing on.
KEEP_AWAKE = (
    "trap 'asked=1; kill -TERM $child' TERM; "
    '"$@" & child=$!; /usr/bin/caffeinate -i -w $child & '
    'test -z "$asked" || kill -TERM $child; wait $child; status=$?; '
    "while kill -0 $child 2>/dev/null; do wait $child; status=$?; done; "
    "case $status in 2|3|4) exit 0;; esac; exit $status"
)
KEYS: dict[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "StartCalendarInterval": list,
    "ProcessType": str,
}
"""The keys that we use, with their types, from launchd.plist(5)."""


def label(job: Job, place: Place) -> str:
    """Return the job's name among all of the user's."""
    return f"{NAME}.{place.mark}.{job.name}"


def render(job: Job, place: Place) -> str:
    """Return the property list as XML."""
    told: dict[str, Any] = {
        "Label": label(job, place),
        "ProgramArguments": _arguments(job, place),
        "EnvironmentVariables": {"CRAWLER_HOME": str(place.home)},
        "StandardOutPath": str(place.output(job)),
        "StandardErrorPath": str(place.output(job)),
        "RunAtLoad": job.times is None,
        "ExitTimeOut": EXIT_SECONDS,
    }
    if job.times is None:
        told |= {"KeepAlive": {"SuccessfulExit": False}, "ThrottleInterval": THROTTLE_SECONDS}
        told["ProcessType"] = "Interactive"  # what is in the background gets little of disk and processor
    else:
        hours = [{"Hour": hour} for hour in job.times.hours] or [{}]
        told["StartCalendarInterval"] = [
            {**hour, "Minute": minute} for hour, minute in product(hours, job.times.minutes)
        ]
    return plistlib.dumps(told).decode()


def mistakes(text: str) -> list[str]:
    """Return what launchd would not take of a property list."""
    told = plistlib.loads(text.encode())
    found = [f"{key} is no key" for key in told if key not in KEYS]
    found += [
        f"{key} is of the wrong type" for key, kind in KEYS.items() if key in told and type(told[key]) is not kind
    ]
    found += [f"{key} is missing" for key in ("Label", "ProgramArguments") if not told.get(key)]
    for moment in told.get("StartCalendarInterval", []):
        most = {"Hour": 23, "Minute": 59}
        found += [f"{key} {value}" for key, value in moment.items() if not 0 <= value <= most.get(key, -1)]
    return found


def _arguments(job: Job, place: Place) -> list[str]:
    if job.times is None:
        return ["/bin/sh", "-c", KEEP_AWAKE, NAME, *place.command(*job.commands)]
    if len(job.commands) == 1:
        return place.command(*job.commands)
    # The paths are the shell's arguments, so that nothing in them means anything to it.
    script = "; ".join(" ".join(['"$0" "$1"', *arguments]) for arguments in job.commands)
    return ["/bin/sh", "-c", script, *place.command(())]

"""What starts jobs on this machine: launchd, a user's systemd, or cron; told of jobs, and relieved of them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import platformdirs

from runtime.clock import Clock
from runtime.errors import CrawlError, OperatorNeeded, UserMistake
from upkeep.schedule import cron, launchd, systemd
from upkeep.schedule.calls import ask, call, is_there, words
from upkeep.schedule.jobs import NAME, Job, Place

CRONTAB = "crontab"
BOOTSTRAP_TRIES, BOOTSTRAP_PAUSE_SECONDS = 5, 1.0  # launchd is not done with a job's end when it says so
Texts = Mapping[str, str]
"""What is told to a system: the text of each file, by its name."""


class System(Protocol):
    """One way to have jobs started; all that it does is about the jobs of one home."""

    name: str
    notes: tuple[str, ...]

    def planned(self, jobs: Sequence[Job]) -> Texts:
        """Return what would be installed."""
        ...

    def installed(self) -> Texts:
        """Return what is installed now."""
        ...

    def mistakes(self, planned: Texts) -> list[str]:
        """Return what the system's own tools, or its rules, find wrong."""
        ...

    def install(self, planned: Texts) -> None:
        """Put this in the place of what is installed; OperatorNeeded where a tool fails."""
        ...

    def remove(self) -> None:
        """Take away all that is installed."""
        ...


class _Files:
    """What launchd and systemd have in common: a file for each job in a folder, and being told of it."""

    def __init__(self, place: Place, folder: Path, beginning: str) -> None:
        self.place, self._folder, self._beginning = place, folder, beginning

    def installed(self) -> Texts:
        """Return what is installed now."""
        return {path.name: path.read_text("utf-8") for path in sorted(self._folder.glob(f"{self._beginning}*"))}

    def install(self, planned: Texts) -> None:
        """Put this in the place of what is installed; OperatorNeeded where a tool fails."""
        installed = self.installed()
        changed = [name for name in installed if planned.get(name) != installed[name]]
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._end(changed)
            for name in changed:
                (self._folder / name).unlink()
            for name, text in planned.items():
                (self._folder / name).write_text(text, "utf-8")
            self._begin(list(planned))
        except (CrawlError, OSError) as error:
            self.remove()
            raise OperatorNeeded(f"{error} Nothing of this home's schedule is installed now.") from error

    def remove(self) -> None:
        """Take away all that is installed."""
        installed = list(self.installed())
        self._end(installed)
        for name in installed:
            (self._folder / name).unlink()
        self._forget()

    def _begin(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    def _end(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        """Have the system see that files are gone."""


class Launchd(_Files):
    """Agents of the user who is logged in on a Mac."""

    name = "launchd"
    notes: tuple[str, ...] = (
        "The crawl starts at once and whenever you log in; what a KILL file stops stays stopped until then.",
        "For disks outside, give this Python Full Disk Access in System Settings.",
    )

    def __init__(self, place: Place, clock: Clock) -> None:
        super().__init__(place, Path.home() / "Library" / "LaunchAgents", f"{NAME}.{place.mark}.")
        self._clock = clock
        self._domain = f"gui/{os.getuid()}"

    def planned(self, jobs: Sequence[Job]) -> Texts:
        """Return what would be installed."""
        return {f"{launchd.label(job, self.place)}.plist": launchd.render(job, self.place) for job in jobs}

    def mistakes(self, planned: Texts) -> list[str]:
        """Return what the tools, or the rules, find wrong."""
        found = [f"{name}: {wrong}" for name, text in planned.items() for wrong in launchd.mistakes(text)]
        with _written(planned) as folder:
            for name in planned if is_there("plutil") else ():
                answer = ask(["plutil", "-lint", f"{folder}/{name}"])
                found += [words(answer)] if answer.returncode else []
        return found

    def _begin(self, names: Sequence[str]) -> None:
        for name in names:
            if ask(["launchctl", "print", self._target(name)]).returncode:
                self._bootstrap(["launchctl", "bootstrap", self._domain, str(self._folder / name)])

    def _end(self, names: Sequence[str]) -> None:
        for name in names:
            ask(["launchctl", "bootout", self._target(name)])  # fails where it is not loaded

    def _bootstrap(self, command: Sequence[str]) -> None:
        for _ in range(BOOTSTRAP_TRIES - 1):
            if not ask(command).returncode:
                return
            self._clock.wait(threading.Event(), BOOTSTRAP_PAUSE_SECONDS)
        call(command)

    def _target(self, name: str) -> str:
        return f"{self._domain}/{name.removesuffix('.plist')}"


class Systemd(_Files):
    """Services and timers of the user's own systemd."""

    name = "systemd"
    notes: tuple[str, ...] = (
        "The crawl starts at once and whenever you log in; what a KILL file stops stays stopped until then.",
        "To have it run while nobody is logged in: loginctl enable-linger",
    )

    def __init__(self, place: Place) -> None:
        super().__init__(place, platformdirs.user_config_path() / "systemd" / "user", f"{NAME}-{place.mark}-")

    def planned(self, jobs: Sequence[Job]) -> Texts:
        """Return what would be installed."""
        return {name: text for job in jobs for name, text in systemd.render(job, self.place).items()}

    def mistakes(self, planned: Texts) -> list[str]:
        """Return what the tools, or the rules, find wrong."""
        found = [f"{name}: {wrong}" for name, text in planned.items() for wrong in systemd.mistakes(text)]
        if not is_there("systemd-analyze"):
            return found
        with _written(planned) as folder:
            told = ask(["systemd-analyze", "verify", "--user", *(f"{folder}/{name}" for name in planned)])
        # It speaks of the machine's other units, and of what this machine lacks, too.
        lines = told.stderr.decode("utf-8", "replace").splitlines()
        return found + [line for line in lines if f"{NAME}-{self.place.mark}-" in line]

    def _begin(self, names: Sequence[str]) -> None:
        call(["systemctl", "--user", "daemon-reload"])
        timers = {name.removesuffix(".timer") for name in names if name.endswith(".timer")}
        begun = [name for name in names if name.endswith(".timer") or name.removesuffix(".service") not in timers]
        call(["systemctl", "--user", "enable", "--now", *begun])

    def _end(self, names: Sequence[str]) -> None:
        if names:
            ask(["systemctl", "--user", "disable", "--now", *names])  # fails where one was never enabled

    def _forget(self) -> None:
        ask(["systemctl", "--user", "daemon-reload"])


class Cron:
    """Lines in the user's crontab."""

    name = "cron"
    notes: tuple[str, ...] = (
        "Cron starts the crawl when the computer starts and not again: it would start what a KILL file stopped, too. "
        "Start it now with `nohup python run.py &`; after a crash, likewise.",
    )

    def __init__(self, place: Place) -> None:
        self._place = place

    def planned(self, jobs: Sequence[Job]) -> Texts:
        """Return what would be installed."""
        return {CRONTAB: cron.render(jobs, self._place)}

    def installed(self) -> Texts:
        """Return what is installed now."""
        block = cron.block_of(self._read(), self._place)
        return {CRONTAB: block} if block else {}

    def mistakes(self, planned: Texts) -> list[str]:
        """Return what the tools, or the rules, find wrong."""
        return cron.mistakes(planned[CRONTAB])

    def install(self, planned: Texts) -> None:
        """Put this in the place of what is installed; OperatorNeeded where a tool fails."""
        self._write(cron.with_block(self._read(), planned[CRONTAB], self._place))

    def remove(self) -> None:
        """Take away all that is installed."""
        self._write(cron.without_block(self._read(), self._place))

    def _read(self) -> bytes:
        answer = ask(["crontab", "-l"])
        if answer.returncode and "no crontab" not in words(answer).lower():
            raise OperatorNeeded(f"The crontab cannot be read: {words(answer)}.", advice="Nothing was changed.")
        return b"" if answer.returncode else answer.stdout

    def _write(self, crontab: bytes) -> None:
        try:
            call(["crontab", "-"], crontab)
        except OperatorNeeded as error:
            raise OperatorNeeded(str(error), advice="The crontab is as it was.") from error


def system_here(place: Place, clock: Clock) -> System:
    """Return what starts jobs on this machine; UserMistake where nothing does that we know."""
    if sys.platform == "darwin":
        return Launchd(place, clock)
    if is_there("systemctl") and not ask(["systemctl", "--user", "show-environment"]).returncode:
        return Systemd(place)
    if is_there("crontab"):
        return Cron(place)
    raise UserMistake(
        "There is neither launchd nor a running systemd of yours nor cron here.",
        advice="Install cron; or have what starts programs here run `python run.py`, and the rest by hand.",
    )


class _written:  # noqa: N801 - it is used as a function
    """The texts as files in a folder that goes with the block."""

    def __init__(self, texts: Texts) -> None:
        self._texts, self._folder = texts, TemporaryDirectory(prefix="schedule-")

    def __enter__(self) -> str:
        for name, text in self._texts.items():
            (Path(self._folder.name) / name).write_text(text, "utf-8")
        return self._folder.name

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

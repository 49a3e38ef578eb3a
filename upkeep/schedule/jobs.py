"""The jobs of a home: what each does, when, and which are left out because nothing is set for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import Settings

NAME = "furniture-crawler"


@dataclass(frozen=True, slots=True)
class Times:
    """The minutes and hours of every day at which a job begins; no hours are all."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job's sub-commands, one after the other, each with its arguments; with `times` None it runs always.

    It is left out with the words `without` where `is_wanted` says no of the settings.
    """

    name: str
    words: str
    commands: tuple[tuple[str, ...], ...]
    times: Times | None
    is_wanted: Callable[[Settings], bool] = lambda settings: True
    without: str = ""


JOBS = (
    Job("crawl", "the crawl and its downloads, always; begun again after a crash", ((),), None),
    Job("pictures", "archive, then primary, every 12 hours", (("archive",), ("primary",)), Times((20,), (0, 12))),
    Job(
        "backup",
        "backup, every 6 hours",
        (("backup",),),
        Times((5,), (1, 7, 13, 19)),
        lambda settings: bool(settings.backup_folders),
        "BACKUP_FOLDERS is empty",
    ),
    Job(
        "mirror",
        "mirror, every hour",
        (("mirror",),),
        Times((35,)),
        lambda settings: settings.mirror_folder is not None,
        "MIRROR_FOLDER is not set",
    ),
    Job(
        "mirror-tars",
        "mirror --tars, every night",
        (("mirror", "--tars"),),
        Times((45,), (3,)),
        lambda settings: settings.mirror_tars_folder is not None,
        "MIRROR_TARS_FOLDER is not set",
    ),
    Job(
        "alerts",
        "alerts, every 10 minutes",
        (("alerts",),),
        Times((2, 12, 22, 32, 42, 52)),
        lambda settings: bool(settings.alerts.get_secret_value()),
        "ALERTS is not set",
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """One installation: this Python, its run.py, and the home that the jobs work on."""

    python: Path
    program: Path
    home: Path

    @property
    def mark(self) -> str:
        """What tells the jobs of this home from those of others."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:8]

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the words of a command line."""
        return [str(self.python), str(self.program), *arguments]

    def output(self, job: Job) -> Path:
        """Return the file that takes what a job prints."""
        return self.home / "logs" / f"{job.name}.out"


def jobs_for(settings: Settings) -> tuple[list[Job], list[str]]:
    """Return the jobs to install, and why others are left out."""
    wanted = [job for job in JOBS if job.is_wanted(settings)]
    return wanted, [f"{job.name} is left out: {job.without}." for job in JOBS if job not in wanted]

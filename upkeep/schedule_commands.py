"""The sub-command `schedule`: what runs by itself, shown, installed and removed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from runtime.door import PROGRAM
from runtime.errors import UserMistake
from runtime.files import make_folders
from runtime.parts import Parts
from runtime.settings import Settings
from upkeep.schedule.jobs import Place, jobs_for
from upkeep.schedule.systems import System, Texts, system_here
from upkeep.wiring import build_parts

Action = Literal["show", "install", "remove"]


def schedule(settings: Settings, console: Console, action: Action, yes: bool) -> int:
    """Show the schedule of this home; install or remove it where that is asked for and agreed to; exit status 0."""
    parts = build_parts(settings, console)
    place = place_of(parts)
    system = system_here(place, parts.clock)
    if action == "remove":
        _remove(system, console, yes)
        return 0
    jobs, left_out = jobs_for(settings)
    planned = system.planned(jobs)
    wrong = system.mistakes(planned)
    if wrong:
        raise UserMistake(
            f"{system.name} does not take it: {'; '.join(wrong)}.",
            advice="Nothing was changed. Give folders plain names.",
        )
    installed = system.installed()
    _say(console, f"With {system.name}, for {place.home}:", *(f"  {job.name}: {job.words}" for job in jobs))
    _say(console, *left_out, "What is set must be in .env or settings.toml: jobs do not see a shell's environment.")
    _say(console, *system.notes, "")
    _show(console, "To install", planned)
    if installed == planned:
        _say(console, "Exactly this is installed.")
    elif action == "show":
        _show(console, "Installed now", installed)
        _say(console, "Install it with: python run.py schedule --install")
    if action == "install" and _agreed(console, "Install these?", yes):
        make_folders(parts.home.logs, parts.home.root)  # launchd and systemd make no folders
        system.install(planned)
        _say(console, "Installed. What the jobs print goes to logs/*.out; `schedule --remove` takes all of it away.")
    return 0


def place_of(parts: Parts) -> Place:
    """Return this installation; UserMistake where a path has a line break in it, which no schedule can hold."""
    # Not resolved: the Python of a virtual environment is a link, and another one where it leads to.
    place = Place(Path(sys.executable), PROGRAM, parts.home.root.resolve())
    for path in (place.python, place.program, place.home):
        if not str(path).isprintable():
            raise UserMistake(f"The path {str(path)!r} cannot stand in a schedule.", advice="Give it a plain name.")
    return place


def _remove(system: System, console: Console, yes: bool) -> None:
    installed = system.installed()
    if not installed:
        _say(console, f"Nothing of this home is installed with {system.name}.")
        return
    _show(console, "To remove", installed)
    if _agreed(console, "Remove these? A crawl that was started by them ends.", yes):
        system.remove()
        _say(console, "Removed.")


def _agreed(console: Console, question: str, yes: bool) -> bool:
    if yes:
        return True
    if not (console.is_terminal and sys.stdin.isatty()):
        raise UserMistake("Nobody is here to say yes.", advice="Look at what is shown, then add --yes.")
    console.print(f"{question} [y/N]", end=" ", highlight=False, soft_wrap=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(console: Console, title: str, texts: Texts) -> None:
    if not texts:
        _say(console, f"{title}: nothing.")
    for name, text in texts.items():
        _say(console, f"--- {title}: {name}", text.rstrip(), "")


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)

"""The sub-command `alerts`: look once at everything that may need a person, and tell what is new."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from runtime.errors import CrawlError
from runtime.instance import single_instance
from runtime.logs import redact, set_up_logs
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import BACKUP, MIRROR, MIRROR_TARS
from upkeep.backup_commands import folders
from upkeep.conditions import Alert, Facts, alerts
from upkeep.ends import load_end
from upkeep.records import Records
from upkeep.sending import Sender
from upkeep.telling import Told, digest, is_digest_due, load_told, news, save_told
from upkeep.wiring import build_parts

LOCK = "alerts"
Survey = Callable[[Settings, Console], Mapping[str, Any]]
log = logging.getLogger(__name__)


def tell(settings: Settings, console: Console, survey: Survey, test: bool) -> int:
    """Look once, print what needs a person, and send what is new to ALERTS; exit status 0.

    `survey` tells what `status` does. With `test`, send a message to try the addresses.
    """
    parts = build_parts(settings, console)
    sender = Sender(settings.alerts.get_secret_value())
    with single_instance(parts.home.lock_of(LOCK), parts.clock):
        set_up_logs(parts.home.logs, LOCK, settings.secrets, console)
        if test:
            sender.send(_title("a test"), "Alerts arrive here.")
        told = load_told(parts.home)
        facts = gather(parts, survey, told)
        standing = [_redacted(alert, settings) for alert in alerts(facts)]
        _send_news(parts, sender, told, standing, facts)
    for alert in standing:
        console.print(f"! {alert.words} {alert.advice}".rstrip(), highlight=False, soft_wrap=True)
    console.print(_summary(len(standing), len(sender)), highlight=False, soft_wrap=True)
    return 0


def gather(parts: Parts, survey: Survey, told: Told) -> Facts:
    """Return what is known of the home now."""
    facts, trouble = dict[str, Any](), ""
    try:
        facts = dict(survey(parts.settings, parts.console))
    except CrawlError as error:
        trouble = error.words()
    return Facts(
        parts.clock.now(),
        facts,
        trouble,
        load_end(parts.home),
        dict(_free(parts)),
        parts.settings.min_free_gb,
        {work: Records(parts.home, work).load() for work in (BACKUP, MIRROR, MIRROR_TARS)},
        tuple(told.standing),
    )


def _send_news(parts: Parts, sender: Sender, told: Told, standing: list[Alert], facts: Facts) -> None:
    """Send what is new, then note that it was told: a death between the two tells it once more."""
    if not len(sender):
        return
    changed, after = news(told, standing, facts.now)
    if changed.lines():
        sender.send(_title(_number(len(changed.new)) if changed.new else "over"), "\n".join(changed.lines()))
        save_told(parts.home, after)
    if parts.settings.alerts_digest and is_digest_due(after, facts.now):
        lines, after = digest(after, facts.told, standing, facts.now)
        sender.send(_title("the day"), "\n".join(lines))
        save_told(parts.home, after)


def _free(parts: Parts) -> Iterator[tuple[str, int]]:
    """Return the bytes free on each disk that is written to, once a disk, by its first folder."""
    known = set[int]()
    for folder in (parts.home.root, parts.home.images, *_database_folder(parts), *folders(parts)):
        try:
            disk = folder.stat().st_dev
            if disk not in known:
                known.add(disk)
                yield str(folder), shutil.disk_usage(folder).free
        except OSError:  # a folder that is not there is told by whoever needs it
            continue


def _database_folder(parts: Parts) -> list[Path]:
    return [parts.database_path.parent] if parts.database_path else []


def _redacted(alert: Alert, settings: Settings) -> Alert:
    return Alert(alert.name, redact(alert.words, settings.secrets), redact(alert.advice, settings.secrets))


def _title(what: str) -> str:
    return f"Furniture crawler on {socket.gethostname()}: {what}"


def _number(alerts_: int) -> str:
    return "1 alert" if alerts_ == 1 else f"{alerts_} alerts"


def _summary(standing: int, addresses: int) -> str:
    what = _number(standing) if standing else "Nothing needs you"
    return f"{what}. " + (
        f"New ones go to {addresses} addresses." if addresses else "ALERTS is not set: nobody is told."
    )

"""What the page Health shows: the last audit, copies on other disks, alerts, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.settings import Home
from runtime.work import BACKUP, MIRROR, MIRROR_TARS
from upkeep.ends import load_end
from upkeep.records import Records
from upkeep.telling import load_alerts

COPIES = {BACKUP: "Backups", MIRROR: "Mirror", MIRROR_TARS: "Mirror of the shards"}


def health_context(home: Home, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template says."""
    audit = told.get("audit")
    return {
        "audit": audit,
        "gaps": _gaps(audit) if audit else {},
        "copies": [
            (title, folder, record)
            for work, title in COPIES.items()
            for folder, record in sorted(Records(home, work).load().items())
        ],
        "alerts": load_alerts(home),
        "end": load_end(home),
        "failed": told.get("failed_items", []),
    }


def _gaps(audit: Mapping[str, Any]) -> dict[str, tuple[int, list[Any]]]:
    """Return what an audit found, each with how many there are and some of them."""
    found = {**audit["gaps"], **audit["orphans"]}
    return {name.replace("_", " "): (number, audit["examples"].get(name, [])[:10]) for name, number in found.items()}

"""Moments as the publishing database has them: UTC without a zone."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(unix_seconds: float) -> datetime:
    """Return the moment as it is stored."""
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)


def unix_seconds(stored: datetime) -> float:
    """Return the Unix seconds of a stored moment."""
    return stored.replace(tzinfo=UTC).timestamp()

"""The calls made, by endpoint and minute."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from peewee import fn

from crawler.api.ledger import CallsMade
from models import ApiUsage
from runtime import bulk
from runtime.clock import iso

SERVICE = "etsy"
MINUTE = 60.0  # a row tells the calls of one
ADD = bulk.Prepared(
    ApiUsage,
    lambda: ApiUsage.update(
        request_count=ApiUsage.request_count + bulk.slot("count"), rate_limit_remaining=bulk.slot("remaining")
    ).where(
        ApiUsage.recorded_at == bulk.slot("at"),
        ApiUsage.service == SERVICE,
        ApiUsage.endpoint == bulk.slot("endpoint"),
    ),
)


def write(calls: Iterable[CallsMade]) -> None:
    """Add calls to their endpoint's and minute's row."""
    for made in calls:
        at = _moment(made.minute)
        added = ADD.run(at=at, endpoint=made.endpoint, count=made.count, remaining=made.remaining)
        # One row a call would be a row for every request of a crawl that lasts for months.
        if not added:
            ApiUsage.create(
                service=SERVICE,
                endpoint=made.endpoint,
                request_count=made.count,
                rate_limit_remaining=made.remaining,
                recorded_at=at,
            )


def by_minute(since: float) -> list[tuple[float, int]]:
    """Return the calls since that moment as (minute's start in Unix seconds, calls)."""
    query = (
        ApiUsage.select(ApiUsage.recorded_at, fn.SUM(ApiUsage.request_count))
        .where(ApiUsage.service == SERVICE, ApiUsage.recorded_at >= _moment(since))
        .group_by(ApiUsage.recorded_at)
        .order_by(ApiUsage.recorded_at)
    )
    return [(at.replace(tzinfo=UTC).timestamp(), int(count)) for at, count in bulk.tuples(query)]


def last_call_at() -> str | None:
    """Return the minute of the last call (ISO 8601 UTC), None before the first."""
    at = ApiUsage.select(fn.MAX(ApiUsage.recorded_at)).where(ApiUsage.service == SERVICE).scalar()
    return None if at is None else iso(at.replace(tzinfo=UTC).timestamp())


def by_endpoint(since: float, until: float | None = None) -> dict[str, int]:
    """Return the calls since that moment, and before the other, by endpoint."""
    query = (
        ApiUsage.select(ApiUsage.endpoint, fn.SUM(ApiUsage.request_count))
        .where(ApiUsage.service == SERVICE, ApiUsage.recorded_at >= _moment(since - since % MINUTE))
        .where(ApiUsage.recorded_at < _moment(until) if until is not None else True)
        .group_by(ApiUsage.endpoint)
        .order_by(ApiUsage.endpoint)
    )
    return {str(endpoint): int(count) for endpoint, count in bulk.tuples(query)}


def _moment(unix_seconds: float) -> Any:
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)

"""Outside calls, counted before they are sent: by service, endpoint and minute, with the limit as last heard."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import Model

from models.crawl import ApiUsage
from models.publishing import ServiceUsage
from publishing.moments import moment
from runtime.errors import UserMistake

MINUTE_SECONDS = 60.0
PRICE = re.compile(r"([a-z0-9_.-]+)(?::([A-Za-z0-9_.-]+))?=([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class Used:
    """The calls of one service on one day (UTC); `cost` None where no price is known.

    `remaining` is the limit as the service told it last on that day, None where it told none.
    """

    day: str
    service: str
    calls: int
    remaining: int | None
    resets_at: str | None
    cost: float | None


def count(service: str, endpoint: str, now: float) -> None:
    """Count one call that is about to be sent; whoever calls holds the transaction."""
    at = moment(now - now % MINUTE_SECONDS)
    row = _row(service, endpoint, at)
    if not ServiceUsage.update({ServiceUsage.request_count: ServiceUsage.request_count + 1}).where(*row).execute():
        ServiceUsage.insert(service=service, endpoint=endpoint, request_count=1, recorded_at=at).execute()


def hear(service: str, endpoint: str, sent: float, remaining: int | None, resets_at: float | None) -> None:
    """Note what the answer to a call said of the service's limit."""
    if remaining is None and resets_at is None:
        return
    told = {
        ServiceUsage.rate_limit_remaining: remaining,
        ServiceUsage.rate_limit_reset_at: None if resets_at is None else moment(resets_at),
    }
    ServiceUsage.update(told).where(*_row(service, endpoint, moment(sent - sent % MINUTE_SECONDS))).execute()


def by_day(models: Iterable[type[Model]], since: float, prices: Mapping[tuple[str, str | None], float]) -> list[Used]:
    """Return what was used since that moment in the databases of these models, the newest day first."""
    rows = defaultdict[tuple[str, str], list[Any]](list)
    for model in models:
        table: Any = model
        for row in table.select().where(table.recorded_at >= moment(since)):
            rows[(row.recorded_at.strftime("%Y-%m-%d"), row.service)].append(row)
    return [_used(day, service, found, prices) for (day, service), found in sorted(rows.items(), reverse=True)]


def parse_prices(text: str) -> dict[tuple[str, str | None], float]:
    """Return what a call costs by service and endpoint (None: any other); UserMistake for what cannot be read."""
    found: dict[tuple[str, str | None], float] = {}
    for part in text.replace(",", " ").split():
        match = PRICE.fullmatch(part)
        if match is None:
            raise UserMistake(
                f"CALL_COSTS cannot be understood at {part!r}.", advice="Write it like `etsy=0 upscaler:enlarge=0.02`."
            )
        found[(match[1], match[2])] = float(match[3])
    return found


MODELS: tuple[type[Model], type[Model]] = (ServiceUsage, ApiUsage)


def _used(day: str, service: str, rows: list[Any], prices: Mapping[tuple[str, str | None], float]) -> Used:
    told = [row for row in rows if row.rate_limit_remaining is not None]
    # Of rows of the same minute, the one that tells the least was written last: a limit only falls.
    last = max(told, key=lambda row: (row.recorded_at, -row.rate_limit_remaining), default=None)
    costs = [_cost(row, prices) for row in rows]
    known = [cost for cost in costs if cost is not None]
    resets: datetime | None = None if last is None else last.rate_limit_reset_at
    return Used(
        day,
        service,
        sum(row.request_count for row in rows),
        None if last is None else last.rate_limit_remaining,
        None if resets is None else resets.strftime("%Y-%m-%dT%H:%M:%SZ"),
        sum(known) if known else None,
    )


def _cost(row: Any, prices: Mapping[tuple[str, str | None], float]) -> float | None:
    price = prices.get((row.service, row.endpoint), prices.get((row.service, None)))
    return None if price is None else float(price * row.request_count)


def _row(service: str, endpoint: str, at: datetime) -> tuple[Any, ...]:
    return (
        ServiceUsage.recorded_at == at,
        ServiceUsage.service == service,
        ServiceUsage.endpoint == endpoint,
    )

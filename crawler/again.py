"""Trying again, at a person's wish, what could not be read: what of it the cycle under way still comes to is due in it.

It is done beside a crawl that may be running: the rows say what is due, and each step reads them anew. Where the
machine stands is not touched, and what failed stays noted until it was read, or fails again and is put aside again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crawler import checkpoint
from crawler.due import due_at
from crawler.freshness import Cycle, Freshness
from crawler.outcome import Position
from crawler.states.verify import MOST_REPAIRS
from crawler.store import audit, failures
from crawler.survey import working_position
from runtime.clock import iso, parse_iso
from runtime.errors import UserMistake

NUMBER = re.compile(r"[0-9]{1,18}")
ALL = "`python run.py again` alone takes up all there are."
MOST_NAMED = 12
Item = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What becomes of failed items, each named by kind and id, that a person wants tried again.

    `due` is read in the cycle under way, `later` in the next one, which begins as `next_cycle` says. `closed` are
    intervals, and `strangers` what no search has shown: neither is changed.
    """

    due: Sequence[Item]
    later: Sequence[Item]
    closed: Sequence[Item]
    strangers: Sequence[Item]
    next_cycle: str


def named(kind: str | None, number: str | None) -> Sequence[Item]:
    """Return the failed item of that name, all where no kind is named; UserMistake where there is none of that name."""
    if kind is None:
        return failures.items()
    if kind not in failures.KINDS:
        kinds = ", ".join(failures.KINDS)
        raise UserMistake(f"Nothing of the kind {kind[:60]!r} can fail.", advice=f"The kinds are {kinds}. {ALL}")
    if number is None or not NUMBER.fullmatch(number):
        raise UserMistake(f"Which {kind}? It is named by its number, as in `again {kind} 5`.", advice=ALL)
    item = (kind, int(number))
    if item not in failures.items():
        raise UserMistake(
            f"{kind} {item[1]} is not among what could not be read: nothing was changed.",
            advice="`python run.py status --json` names what failed last (failed_items).",
        )
    return [item]


def take_up(kind: str | None, number: str | None, freshness: Freshness, now: float) -> Taken:
    """Make what is named due in the cycle under way, where that still comes to it; the caller holds the transaction."""
    items, position = named(kind, number), checkpoint.load_position()
    if position is None:
        raise UserMistake("No crawl was begun here yet.", advice="Start one with `python run.py`.")
    cycle, place = checkpoint.load_cycle(), working_position(position)
    ahead = {item for item in items if is_ahead(*item, place)}
    for failed, take in failures.TAKEN_UP.items():
        take([item_id for of_kind, item_id in sorted(ahead) if of_kind == failed], cycle.number, iso(cycle.started_at))
    now_due = due_at(freshness, cycle, now)
    # A cycle that is overdue leaves what was found gone to the next one: the crawl's own conditions tell.
    due = ahead & {(failed, i) for failed in failures.TAKEN_UP for i in audit.taken_up(failed, now_due)}
    indexed = {(failed, i) for failed in failures.TAKEN_UP for i in failures.indexed_ids(failed)}
    closed = {item for item in items if item[0] not in failures.TAKEN_UP}
    return Taken(
        due=sorted(due),
        later=sorted(indexed.intersection(items) - due),
        closed=sorted(closed),
        strangers=sorted(set(items) - indexed - closed),
        next_cycle=_next_cycle(position, cycle, freshness, now),
    )


def is_ahead(kind: str, item_id: int, place: Position) -> bool:
    """Return whether a crawl that stands there still comes, in the same cycle, to where such a thing is read."""
    if kind not in failures.TAKEN_UP or place.state == "SLEEP":
        return False
    if kind == "reviews":
        retry_after = place.cursor.get("retry_after")
        return place.state != "REVIEWS" or retry_after is None or item_id > retry_after
    # VERIFY sends the crawl back to BACKFILL so many times and no more.
    audited = place.state == "VERIFY" and place.cursor.get("repairs", 0) < MOST_REPAIRS
    return audited or place.state in ("TAXONOMY", "BACKFILL")


def _next_cycle(position: Position, cycle: Cycle, freshness: Freshness, now: float) -> str:
    """Return when the next cycle begins, in words."""
    asleep = position.state == "SLEEP" and position.cursor.get("reason") == "cycle"
    at = parse_iso(str(position.cursor["until"])) if asleep else freshness.next_cycle_at(cycle, now)
    if at <= now:
        return "as soon as this one is over"
    return f"at {iso(at)}" + ("" if asleep else ", or later where this one takes longer")


def in_words(taken: Taken) -> Iterator[str]:
    """Return what becomes of things that a person wants tried again, in sentences."""
    if taken.due:
        yield f"Due again, and read in this cycle: {_named(taken.due)}."
    if taken.later:
        yield (
            f"Read again in the next cycle, which begins {taken.next_cycle}, since this one is past them: "
            f"{_named(taken.later)}."
        )
    if taken.closed:
        yield (
            f"Closed for this cycle: {_named(taken.closed)}. The next one begins {taken.next_cycle}, and searches "
            "these prices anew."
        )
    if taken.strangers:
        yield f"In no search so far, so that only `python run.py sync` asks for it: {_named(taken.strangers)}."


def _named(items: Sequence[Item]) -> str:
    if len(items) <= MOST_NAMED:
        return ", ".join(f"{kind} {item_id}" for kind, item_id in items)
    return ", ".join(f"{number:,} × {kind}" for kind, number in Counter(kind for kind, _ in items).items())

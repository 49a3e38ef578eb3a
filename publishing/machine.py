"""All statuses, events and moves of a file, in one table; beside the crawl's, the only file that knows `transitions`.

No work is done here: what is moved lies in the database, where every move is guarded (files.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from transitions import Machine

from runtime.errors import Bug


@dataclass(frozen=True, slots=True)
class State:
    """A status's name and what is true of a file that has it."""

    name: str
    means: str


@dataclass(frozen=True, slots=True)
class Move:
    """One transition: on this event, from these statuses to that one, when this is so."""

    event: str
    sources: tuple[str, ...]
    target: str
    when: str


INGESTED, PROCESSING, PROCESSED, APPROVED, PUBLISHED, FAILED = (
    *("ingested", "processing", "processed", "approved", "published", "failed"),
)
STATES = (
    State(INGESTED, "its original is here, nothing was made of it yet"),
    State(PROCESSING, "its picture and metadata are being made"),
    State(PROCESSED, "its picture and metadata are there; a person should look at them"),
    State(APPROVED, "a person has said yes; its listings are being made"),
    State(PUBLISHED, "at least one listing of it is noted"),
    State(FAILED, "its picture cannot be used; the failed job says why"),
)
ALIVE = (INGESTED, PROCESSING, PROCESSED, APPROVED, PUBLISHED)
MOVES = (
    Move("begin", (INGESTED,), PROCESSING, "a worker has begun to make its picture"),
    Move("finish", (PROCESSING,), PROCESSED, "picture and metadata are both there"),
    Move("approve", (PROCESSED,), APPROVED, "a person has approved it"),
    Move("publish", (APPROVED,), PUBLISHED, "its first listing is noted"),
    Move("fail", ALIVE, FAILED, "its picture turned out to be unusable"),
)
EVENTS = {move.event: move for move in MOVES}


class Lifecycle:
    """Says which status follows which; remembers none itself."""

    def __init__(self) -> None:
        self._machine = Machine(
            model=None, states=[state.name for state in STATES], initial=INGESTED, auto_transitions=False
        )
        for move in MOVES:
            self._machine.add_transition(move.event, list(move.sources), move.target)

    def find_next(self, status: str, event: str) -> str | None:
        """Return the status that the event leads to, None where it may not happen; Bug for an event there is not."""
        if event not in EVENTS:
            raise Bug(f"There is no event {event!r} of a file.")
        found = self._machine.get_transitions(event, status) if status in self._machine.states else []
        return str(found[0].dest) if found else None


def diagram() -> str:
    """Return the machine as a Mermaid state diagram, for the documentation."""
    steps = [f"    {source} --> {move.target}: {move.event}" for move in MOVES for source in move.sources]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {INGESTED}", *steps])

"""All states, events and transitions of the crawl, in one table; the only file that knows `transitions`.

No work is done here: a step fetches and thinks, the engine stores, then the machine follows.
"""

from __future__ import annotations

from dataclasses import dataclass

from transitions import Machine, MachineError

from runtime.errors import Bug


@dataclass(frozen=True, slots=True)
class State:
    """A state's name and what it does, in a sentence."""

    name: str
    does: str


@dataclass(frozen=True, slots=True)
class Move:
    """One transition: on this event, from these states to that one, when this is so."""

    event: str
    sources: tuple[str, ...]
    target: str
    when: str


STATES = (
    State("TAXONOMY", "walks every price interval and keeps an index of each listing it sees"),
    State("BACKFILL", "fetches what is still due: listings, shops, images"),
    State("VERIFY", "audits the data set without a call and queues repairs"),
    State("REVIEWS", "reads the new reviews of the shops whose figures moved"),
    State("SLEEP", "waits for the next cycle or for the day's quota"),
)
WORKING = ("TAXONOMY", "BACKFILL", "VERIFY", "REVIEWS")
CALLING = ("TAXONOMY", "BACKFILL", "REVIEWS")
FIRST = "TAXONOMY"
MOVES = (
    *(Move("advanced", (state,), state, "a step is done, there is more to do") for state in WORKING),
    Move("exhausted", ("TAXONOMY",), "BACKFILL", "every interval of this cycle is walked"),
    Move("filled", ("BACKFILL",), "VERIFY", "nothing is due any more"),
    Move("gaps_found", ("VERIFY",), "BACKFILL", "the audit queued repairs"),
    Move("in_sync", ("VERIFY",), "REVIEWS", "nothing is left to repair"),
    Move("caught_up", ("REVIEWS",), "SLEEP", "every due shop's reviews are in"),
    Move("woke", ("SLEEP",), "TAXONOMY", "the next cycle's time has come"),
    Move("quota_spent", CALLING, "SLEEP", "the day's calls are used up"),
    *(Move("quota_back", ("SLEEP",), state, "it came from there") for state in CALLING),
)


class CrawlMachine:
    """Says which state follows which; memory of the present one."""

    def __init__(self, state: str) -> None:
        self.state = ""
        self._machine = Machine(
            model=None, states=[known.name for known in STATES], initial=FIRST, auto_transitions=False
        )
        for move in MOVES:
            if move.event != "quota_back":  # its target depends on where the sleep began
                self._machine.add_transition(move.event, list(move.sources), move.target)
        self._machine.add_model(self, initial=known_state(state))

    def next(self, event: str, resume: str | None = None) -> str:
        """Return the state that the event leads to; Bug where it may not happen now."""
        for move in MOVES:
            if move.event == event and self.state in move.sources and resume in (None, move.target):
                return move.target
        raise Bug(f"The event {event} cannot happen in {self.state}.")

    def fire(self, event: str, resume: str | None = None) -> None:
        """Make the move that `next` told, after the database has made it."""
        target = self.next(event, resume)
        if resume is not None:
            self._machine.set_state(target, self)
            return
        try:
            self._machine.dispatch(event)
        except MachineError as error:
            raise Bug(str(error)) from error


def known_state(name: str) -> str:
    """Return the name where it is a state; ValueError for any other."""
    if name not in {state.name for state in STATES}:
        raise ValueError(f"there is no state {name!r}")
    return name


def diagram() -> str:
    """Return the machine as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST}"]
    lines += [f"    {move.sources[0]} --> {move.target}: {move.event}" for move in MOVES if len(move.sources) == 1]
    lines += [
        f"    {source} --> {move.target}: {move.event}"
        for move in MOVES
        if len(move.sources) > 1
        for source in move.sources
    ]
    return "\n".join(lines)

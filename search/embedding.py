"""The run of `run.py embed`: plan, hand out, take back, until nothing waits any more.

    stage.plan → stage.task → crew.begin → … → crew.results → gate → stage.take

Only this loop touches the database. Whatever a worker does, a picture goes on once: its result is stored in one
commit, and a second copy of it is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from runtime.clock import Clock
from runtime.errors import OperatorNeeded
from runtime.stop import Stop
from search.crew import Crew
from search.gate import Gate
from search.pace import Pace
from search.stages import EMBED, Plan, Stage
from search.store.checks import BadVectors
from search.tasks import EmbedResult, Failure, GoldenResult, Result

WAIT_SECONDS = 0.25
MOST_ALONE = 3  # pictures that fail one after the other, each by itself, are no accident
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flight:
    """A task that is with a worker."""

    plan: Plan
    worker: str
    until: float


@dataclass(slots=True)
class Standing:
    """How far the run is: pictures done by stage, and what happened on the way.

    `kept` are those done that still have their background: without it nothing would have been left.
    """

    done: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    given_up: int = 0
    dropped: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    workers: tuple[str, ...] = ()


class Embedding:
    """Runs the stages, the last one first, on a crew; `is_closed` tells which stages are to end."""

    def __init__(
        self,
        stages: Sequence[Stage],
        crew: Crew,
        gate: Gate,
        pace: Pace,
        clock: Clock,
        stop: Stop,
        is_closed: Callable[[str], bool],
        observe: Callable[[Standing, Pace], None],
    ) -> None:
        self.standing = Standing(done={stage.name: 0 for stage in stages})
        self._stages = {stage.name: stage for stage in stages}
        self._crew, self._gate, self._pace, self._clock, self._stop = crew, gate, pace, clock, stop
        self._is_closed, self._observe = is_closed, observe
        self._flights: dict[str, Flight] = {}
        self._again: list[Plan] = []
        self._alone = 0
        self._brought_more = False

    def run(self) -> Standing:
        """Work until nothing waits; Stopped, OperatorNeeded."""
        while True:
            self._stop.raise_if_requested()
            self._rewind()
            for worker in self._note_workers():
                self._employ(worker)
            if not self._flights and not self._proofs_are_out():
                return self.standing
            for result in self._crew.results(WAIT_SECONDS):
                self._take(result)
            self._reclaim_overdue()
            self._observe(self.standing, self._pace)

    def _note_workers(self) -> tuple[str, ...]:
        there = tuple(self._crew.workers())
        for gone in set(self.standing.workers) - set(there):
            log.info("The worker %s is gone.", gone)
            self._gate.gone(gone)
            for name in [name for name, flight in self._flights.items() if flight.worker == gone]:
                self._again.append(self._flights.pop(name).plan)
        for new in set(there) - set(self.standing.workers):
            log.info("The worker %s is here.", new)
        self.standing.workers, self.standing.refused = there, self._gate.refused
        return there

    def _employ(self, worker: str) -> None:
        while self._crew.has_room(worker):
            if self._gate.admits(worker):
                if not self._hand_out(worker):
                    return
            else:
                proof = self._gate.proof_for(worker)
                if proof is None:
                    return
                self._crew.begin(worker, proof)

    def _proofs_are_out(self) -> bool:
        """Return whether the work has to wait until somebody is admitted; OperatorNeeded where nobody ever will be."""
        there = set(self.standing.workers)
        if any(self._gate.admits(worker) for worker in there):
            return False
        if there and there <= set(self._gate.refused):
            words = "; ".join(f"{worker}: {why}" for worker, why in self._gate.refused.items())
            raise OperatorNeeded(f"No worker may go on ({words}).", advice="Mend this, then start again.")
        return bool(there)

    def _hand_out(self, worker: str) -> bool:
        """Give a worker something to do; return False where there is nothing."""
        while (wanted := self._next(worker)) is not None:
            made = self._stages[wanted.stage].task(wanted)
            if made is None:
                continue
            plan, task = made
            seconds = self._pace.deadline_seconds(worker, plan.stage, len(plan.asked))
            self._flights[task.task_id] = Flight(plan, worker, self._clock.monotonic() + seconds)
            self._crew.begin(worker, task)
            return True
        return False

    def _next(self, worker: str) -> Plan | None:
        for number, plan in enumerate(self._again):
            if not self._is_closed(plan.stage):
                return self._again.pop(number)
        for name, stage in self._stages.items():
            if not self._is_closed(name):
                found = stage.plan(self._pace.size(worker, name))
                if found is not None:
                    return found
        return None

    def _take(self, result: Result) -> None:
        if isinstance(result, GoldenResult) or self._gate.is_proof(result.task_id):
            self._hear(result)
            return
        flight = self._flights.pop(result.task_id, None)
        if flight is None:
            self.standing.dropped += 1
            return
        if result.worker in self._gate.refused:
            self._again.append(flight.plan)
            return
        if isinstance(result, Failure):
            self._split(flight.plan, result)
            return
        plan = flight.plan
        try:
            done = self._stages[plan.stage].take(plan, result)
        except BadVectors as bad:
            log.error("%s", bad)
            self._gate.refuse(result.worker, str(bad))
            self._again.append(plan)
            return
        self._alone = 0
        self.standing.done[plan.stage] += done
        self._gate.used(result.worker)
        self._pace.note(result.worker, plan.stage, len(plan.asked), result.seconds)
        if isinstance(result, EmbedResult):
            for model, seconds in result.model_seconds.items():
                self._pace.note_model(result.worker, model, len(plan.asked), seconds)
        self._brought_more |= bool(done) and plan.stage != EMBED

    def _hear(self, result: Result) -> None:
        if isinstance(result, GoldenResult | Failure):
            words = self._gate.hear(result)
            if words:
                log.error("The worker %s is refused: %s", result.worker, words)

    def _rewind(self) -> None:
        """Let what a stage has brought be found by the next one, once that is under way with none of it."""
        busy = [plan.stage for plan in [*self._again, *(flight.plan for flight in self._flights.values())]]
        if self._brought_more and EMBED not in busy:
            self._stages[EMBED].rewind()
            self._brought_more = False

    def _split(self, plan: Plan, failure: Failure) -> None:
        log.warning("The worker %s failed at %d pictures: %s", failure.worker, len(plan.keys), failure.words)
        if failure.out_of_memory:
            self._pace.ran_short(failure.worker, plan.stage, len(plan.keys))
        if len(plan.keys) > 1:
            self._again += [replace(half, asked=()) for half in plan.halves()]
            return
        self._alone += 1
        if self._alone >= MOST_ALONE:
            raise OperatorNeeded(
                f"{MOST_ALONE} pictures one after the other failed ({failure.words}).",
                advice="This is not the pictures' fault: mend it, then start again; nothing is lost.",
            )
        self._stages[plan.stage].give_up(plan, failure.words)
        self.standing.given_up += 1

    def _reclaim_overdue(self) -> None:
        """Take back what a worker should have done long ago, where another one could do it."""
        now = self._clock.monotonic()
        for name, flight in list(self._flights.items()):
            others = [one for one in self.standing.workers if one != flight.worker and self._gate.admits(one)]
            if now > flight.until and others:
                log.warning("The worker %s takes too long with %d pictures.", flight.worker, len(flight.plan.keys))
                self._again.append(self._flights.pop(name).plan)
                self._gate.gone(flight.worker)

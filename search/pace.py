"""How fast each worker is, and how much it gets at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

FIRST, MOST = 8, 256  # pictures in a task
TASK_SECONDS = 60.0  # what a task should take: a death costs at most that, the network is felt little
PATIENCE, LEAST_SECONDS = 4.0, 120.0  # a task that takes so many times what it should is somebody else's
SMOOTHING = 0.3


@dataclass(slots=True)
class Speed:
    """A worker's pictures a second at one stage, smoothed; `most` is what it has memory for."""

    per_second: float | None = None
    most: int = MOST
    done: int = 0


@dataclass(slots=True)
class Pace:
    """Every worker's speed, by worker and stage, and by worker and model."""

    speeds: defaultdict[tuple[str, str], Speed] = field(default_factory=lambda: defaultdict(Speed))
    models: defaultdict[tuple[str, str], Speed] = field(default_factory=lambda: defaultdict(Speed))

    def note(self, worker: str, stage: str, pictures: int, seconds: float) -> None:
        """Take a finished task into account."""
        _note(self.speeds[(worker, stage)], pictures, seconds)

    def note_model(self, worker: str, model: str, pictures: int, seconds: float) -> None:
        """Take a finished task's part of one model into account."""
        _note(self.models[(worker, model)], pictures, seconds)

    def ran_short(self, worker: str, stage: str, pictures: int) -> None:
        """Note that so many pictures were too many for its memory."""
        self.speeds[(worker, stage)].most = max(1, pictures // 2)

    def size(self, worker: str, stage: str) -> int:
        """Return how many pictures its next task should have."""
        speed = self.speeds[(worker, stage)]
        wanted = FIRST if speed.per_second is None else round(speed.per_second * TASK_SECONDS)
        return max(1, min(wanted, speed.most))

    def deadline_seconds(self, worker: str, stage: str, pictures: int) -> float:
        """Return how long a task of so many pictures may take before somebody else gets it."""
        speed = self.speeds[(worker, stage)]
        expected = TASK_SECONDS if speed.per_second is None else pictures / speed.per_second
        return max(LEAST_SECONDS, PATIENCE * expected)

    def by_model(self, workers: Collection[str]) -> dict[str, float]:
        """Return how many pictures a second these workers do together, by model."""
        found: dict[str, float] = {}
        for (worker, model), speed in self.models.items():
            if worker in workers and speed.per_second is not None:
                found[model] = round(found.get(model, 0.0) + speed.per_second, 3)
        return found

    def per_second(self, stage: str, workers: set[str]) -> float:
        """Return how many pictures a second these workers do together."""
        return sum(
            speed.per_second or 0.0
            for (worker, name), speed in self.speeds.items()
            if name == stage and worker in workers
        )


def _note(speed: Speed, pictures: int, seconds: float) -> None:
    now = pictures / max(seconds, 1e-3)
    before = speed.per_second
    speed.per_second = now if before is None else before + SMOOTHING * (now - before)
    speed.done += pictures

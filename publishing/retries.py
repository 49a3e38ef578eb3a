"""When a job is tried again: waits that double, a number of tries, and an age at which a running job counts as dead."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a job is tried, and after how long a running one counts as stalled."""

    most_attempts: int = 5
    stalled_seconds: float = 900.0

    def wait_seconds(self, attempts: int) -> float:
        """Return how long after the beginning of its last try a job that was tried so often may go again."""
        return 0.0 if attempts < 1 else min(FIRST_WAIT_SECONDS * 2.0 ** (attempts - 1), LONGEST_WAIT_SECONDS)

    def is_last(self, attempts: int) -> bool:
        """Return whether no try is left after so many."""
        return attempts >= self.most_attempts

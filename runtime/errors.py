"""The exception family, split by who must act; `run.py` turns it into words and an exit status.

Anything that is not in this family and reaches `run.py` is a bug of ours: exit status 1, with a dump.
"""

from __future__ import annotations


class CrawlError(Exception):
    """Root of the family; `advice` says what to do next, `exit_status` what the process answers."""

    exit_status = 1

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def words(self) -> str:
        """Return the message and the advice as one text for a person."""
        return f"{self} {self.advice}".strip()


class Bug(CrawlError):
    """Ours to mend: something that the code promises does not hold."""


class UserMistake(CrawlError):
    """The user's to mend: a wrong setting, argument or edited file."""

    exit_status = 2


class OperatorNeeded(CrawlError):
    """The machine's keeper has to act: a full disk, a read-only folder, a damaged database."""

    exit_status = 2


class KeyRefused(CrawlError):
    """The API refuses the key; no retry helps."""

    exit_status = 3


class AlreadyRunning(CrawlError):
    """Another process works on the same home."""

    exit_status = 4


class ServerTrouble(CrawlError):
    """The server fails in a way that can heal: wait, ask again. `endpoint` is the operation that failed."""

    def __init__(self, message: str, *, endpoint: str) -> None:
        super().__init__(message)
        self.endpoint = endpoint


class ItemTrouble(CrawlError):
    """One thing cannot be read, whatever one does; the walk goes on without it.

    `status` is the HTTP status of the answer, 200 where the answer came and made no sense.
    """

    def __init__(self, message: str, *, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


class QuotaSpent(CrawlError):
    """The day's calls are used up until `until` (Unix seconds)."""

    def __init__(self, until: float, message: str) -> None:
        super().__init__(message)
        self.until = until


class Stopped(CrawlError):
    """A stop was asked for while something waited; not an error, but it ends the step at hand."""

    exit_status = 0

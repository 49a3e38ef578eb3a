"""How a job can end badly, split by what follows: given up at once, the file given up too, or tried again."""

from __future__ import annotations

from runtime.errors import CrawlError


class JobFailed(CrawlError):
    """No further try helps: the job fails with these words."""


class FileBroken(JobFailed):
    """The file's picture cannot be used: the job fails, and the file with it."""


class TryLater(CrawlError):
    """This try failed in a way that can heal: the job waits and is tried again."""

"""Words for a person about the downloads."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.download import Standing
from imaging.outcomes import OUTCOMES
from runtime.clock import iso


def progress_in_words(standing: Standing, queued: int, later: int, now: float) -> dict[str, str]:
    """Return the labels and values of the live display; `queued` of the rows wait, `later` of them for another try."""
    ready = queued - later
    values = {
        "downloaded": f"{standing.done:,}, {standing.per_second:.1f} a second",
        "queued": f"{ready:,}" + (f", {later:,} later again" if later else ""),
    }
    if standing.failed:
        values["failed"] = failures_in_words(standing.failed)
    if standing.held:
        values["waits"] = standing.held
    elif standing.per_second > 0 and ready:
        values["done at about"] = iso(now + ready / standing.per_second)
    return values


def failures_in_words(failed: Mapping[str, int]) -> str:
    """Return the failures by reason, most frequent first."""
    by_number = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {outcome.replace('_', ' ')}" for outcome, number in by_number)


def closing_words(standing: Standing, queued: int, next_retry_at: float | None, stopped_by: str) -> str:
    """Return the sentence with which a download ends."""
    words = f"{standing.done:,} pictures are there now"
    if standing.failed:
        words += f"; without success: {failures_in_words(standing.failed)}"
    gone = sum(number for outcome, number in standing.failed.items() if not OUTCOMES[outcome].heals)
    if gone:
        words += f" ({gone:,} of them for good)"
    if stopped_by:
        return f"{words}. Stopped by {stopped_by}; {queued:,} are still queued."
    if next_retry_at is not None:
        return f"{words}. {queued:,} are tried again later, the first at {iso(next_retry_at)}."
    return f"{words}. Nothing is left in the queue."

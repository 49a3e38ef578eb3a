"""What can come of trying to get a picture, what each means, and when to try again. Pure.

The outcome of a row's last try stands in `image_status.outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass

DONE = "done"
FIRST_PAUSE_SECONDS, PAUSE_FACTOR, LONGEST_PAUSE_SECONDS = 600, 6, 30 * 86_400


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an outcome says; `heals`: a later try may go better; `server`: it speaks of the host, not the picture."""

    words: str
    heals: bool
    server: bool = False


OUTCOMES: dict[str, Meaning] = {
    DONE: Meaning("downloaded and whole", False),
    "not_found": Meaning("the host has no such picture (404)", False),
    "placeholder": Meaning("under 1 KB: the host's sign for a picture that is gone", False),
    "bad_address": Meaning("the row's address is none that a picture can have", False),
    "foreign_host": Meaning("the row's address leads to another host", False),
    "too_large": Meaning("more than 20 MB, or a body without end", False),
    "too_many_pixels": Meaning("more pixels than a picture of a listing can have", False),
    "redirected": Meaning("the host sends elsewhere", True),
    "html": Meaning("a web page instead of a picture", True),
    "cut_body": Meaning("the body ended early", True),
    "wrong_length": Meaning("the body has the length that was told, and the picture in it is cut", True),
    "not_a_picture": Meaning("the bytes are no JPEG, PNG, GIF or WebP", True),
    "undecodable": Meaning("the picture cannot be decoded", True),
    "refused": Meaning("the host refuses the request (4xx)", True, server=True),
    "busy": Meaning("the host asks for patience (429, 503)", True, server=True),
    "server_error": Meaning("the host fails (5xx)", True, server=True),
    "timeout": Meaning("no whole answer within a minute", True, server=True),
    "unreachable": Meaning("no connection, or one that broke", True, server=True),
    # Set by the audit, not by a try:
    "missing": Meaning("the file was gone", True),
    "damaged": Meaning("the file was not what had been stored", True),
}


def pause_seconds(attempts: int) -> int:
    """Return how long to wait after so many failures (1: the first): ten minutes, then six times as long each."""
    return int(min(FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (attempts - 1), LONGEST_PAUSE_SECONDS))

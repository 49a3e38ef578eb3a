"""What is printed, for as long as somebody reads it: that a reader has gone away must not end the work."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

GONE = (errno.EPIPE, errno.EIO)  # what a pipe answers whose reader has ended, and a terminal that was closed


class Output(TextIOWrapper):
    """A text stream that drops what nobody can read any more."""

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        with _reader_may_be_gone():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Show what was written so far, or drop it."""
        with _reader_may_be_gone():
            super().flush()


def outlive_readers() -> None:
    """Let this process work on, and end as it would, when nobody reads what it prints any more, or nobody ever did."""
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def _outliving(stream: TextIO | None) -> TextIO:
    if stream is None:  # the process was started with it closed
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, TextIOWrapper):
        return stream
    encoding, errors, line_buffering = stream.encoding, stream.errors, stream.line_buffering
    return Output(stream.detach(), encoding, errors, line_buffering=line_buffering)


@contextmanager
def _reader_may_be_gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in GONE:
            raise

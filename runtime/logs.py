"""Log lines for the terminal and for `logs/`, with every secret blotted out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

FILE_BYTES = 10_000_000
FILES_KEPT = 5
log = logging.getLogger(__name__)
LINE = "%(asctime)sZ %(levelname)s %(name)s: %(message)s"


class Redactor(logging.Formatter):
    """A formatter that replaces each secret, also inside tracebacks, by `***`."""

    converter = staticmethod(time.gmtime)

    def __init__(self, line: str, secrets: Sequence[str]) -> None:
        super().__init__(line, datefmt="%Y-%m-%dT%H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without secrets."""
        return redact(super().format(record), self._secrets)


def redact(text: str, secrets: Sequence[str]) -> str:
    """Return the text with each secret replaced by `***`."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def set_up_logs(folder: Path, name: str, secrets: Sequence[str], console: Console) -> None:
    """Send log lines to `folder/name.log` (rotating) and to the console, warnings of libraries included."""
    root = logging.getLogger()
    # Handlers of an earlier set-up would write every line twice.
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.INFO)
    if console.is_terminal:
        shown: logging.Handler = RichHandler(console=console, show_path=False, markup=False)
        shown.setFormatter(Redactor("%(message)s", secrets))
    else:
        shown = logging.StreamHandler(console.file)
        shown.setFormatter(Redactor(LINE, secrets))
    root.addHandler(shown)
    try:
        folder.mkdir(exist_ok=True)
        kept = RotatingFileHandler(folder / f"{name}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT)
    except OSError as error:  # the crawl does not depend on its log
        log.warning("The log folder %s cannot be written (%s): nothing is kept of these lines.", folder, error.strerror)
    else:
        kept.setFormatter(Redactor(LINE, secrets))
        root.addHandler(kept)
    logging.raiseExceptions = False  # a full disk must not print a traceback for every line
    for noisy in ("urllib3", "transitions", "peewee", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

"""One process on one home: a lock that the system frees however the process ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from runtime.clock import Clock, iso
from runtime.errors import AlreadyRunning, OperatorNeeded

START_PATIENCE_SECONDS = 0.5  # `is_running` holds the lock for a moment; a start must not fail on that


@contextlib.contextmanager
def single_instance(lock_path: Path, clock: Clock) -> Iterator[None]:
    """Hold the lock for as long as the block lasts; AlreadyRunning says who holds it.

    The lock file is never deleted: a deleted lock lets a second process in. Who runs is written in a file
    beside it, since opening the lock truncates it.
    """
    owner_path = lock_path.with_suffix(".owner.json")
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path, timeout=START_PATIENCE_SECONDS, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise AlreadyRunning(
            f"Already running on this home: {describe_owner(owner_path)}.",
            advice="Stop it with `touch KILL` in the home folder, or look at `python run.py status`.",
        ) from error
    except OSError as error:
        raise OperatorNeeded(
            f"The lock {lock_path} cannot be made ({error.strerror}).",
            advice="Make the folder writable, then start again.",
        ) from error
    try:
        owner = {"pid": os.getpid(), "since": iso(clock.now()), "host": socket.gethostname()}
        with contextlib.suppress(OSError):  # only the words of a refusal depend on it
            owner_path.write_text(json.dumps(owner), encoding="utf-8")
        yield
    finally:
        lock.release()


def describe_owner(owner_path: Path) -> str:
    """Return who holds the lock, in words."""
    try:
        owner = json.loads(owner_path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no name"


def is_running(lock_path: Path) -> bool:
    """Return whether some process holds the lock now."""
    if not lock_path.exists():
        return False
    lock = FileLock(lock_path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    # Held for a moment only; a start is patient for longer than that.
    lock.release()
    return False

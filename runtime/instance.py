"""Beginning to work on a home: is all well with it, and is this the one process that does this work?

The lock is one that the system frees however the process ends.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from runtime.clock import EARLIEST, Clock, iso
from runtime.errors import AlreadyRunning, OperatorNeeded
from runtime.files import clear_left_overs, make_folders, trouble_in_words
from runtime.settings import Home

START_PATIENCE_SECONDS = 0.5  # `is_running` holds the lock for a moment; a start must not fail on that


@contextlib.contextmanager
def at_work_on(home: Home, lock_path: Path, clock: Clock) -> Iterator[None]:
    """Be the one process that does this work on the home; OperatorNeeded where the clock is wrong."""
    if clock.now() < EARLIEST:
        raise OperatorNeeded(
            f"The computer's clock says {iso(clock.now())}, which cannot be: every row would carry it for ever.",
            advice="Set the clock, then start again; nothing was changed.",
        )
    with single_instance(lock_path, clock):
        for folder in (home.data, home.checkpoints):
            clear_left_overs(folder, clock.now())
        yield


@contextlib.contextmanager
def single_instance(lock_path: Path, clock: Clock) -> Iterator[None]:
    """Hold the lock for as long as the block lasts; AlreadyRunning says who holds it.

    Its folder and the one above are made, the home is not: its disk may not be mounted.
    The lock file is never deleted: a deleted lock lets a second process in. Who runs is written in a file
    beside it, since opening the lock truncates it.
    """
    owner_path = lock_path.with_suffix(".owner.json")
    try:
        make_folders(lock_path.parent, lock_path.parents[2])
        lock = FileLock(lock_path, timeout=START_PATIENCE_SECONDS, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise AlreadyRunning(
            f"Already running on this home: {describe_owner(owner_path)}.",
            advice="Stop it with `touch KILL` in the home folder, or look at `python run.py status`.",
        ) from error
    except OSError as error:
        raise trouble_in_words(error, lock_path) from error
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
    except Timeout:
        return True
    except OSError as error:
        return error.errno != errno.EROFS  # nobody works on a disk that cannot be written
    # Held for a moment only; a start is patient for longer than that.
    lock.release()
    return False

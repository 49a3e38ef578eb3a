"""A folder that is whole or not there: filled aside, renamed at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import UserMistake
from runtime.files import sync_folder, trouble_in_words

UNFINISHED = ".unfinished"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; what it holds stands under the name `folder` once the block has ended well.

    UserMistake where something is there already; what a block that failed has written is removed.
    """
    folder = folder.expanduser().resolve()
    _refuse(folder)
    aside = folder.with_name(f"{folder.name}{UNFINISHED}")
    try:
        aside.mkdir()
    except OSError as error:
        raise _in_words(error, aside) from error
    try:
        yield aside
        _settle(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _refuse(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserMistake(f"{folder} is there already.", advice="Name a folder that is new, or empty.")
    if not folder.parent.is_dir():
        raise UserMistake(f"There is no folder {folder.parent}.", advice="Is its disk mounted? Make the folder first.")


def _settle(aside: Path, folder: Path) -> None:
    try:
        for path in (*(inner for inner in aside.iterdir() if inner.is_dir()), aside):
            sync_folder(path)
        aside.replace(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise trouble_in_words(error, folder) from error


def _in_words(error: OSError, aside: Path) -> Exception:
    if isinstance(error, FileExistsError):
        return UserMistake(
            f"{aside} is there: another export is at work on it, or one was killed.",
            advice="Wait for the other one, or delete the folder.",
        )
    return trouble_in_words(error, aside)

"""Where the pictures lie: PUBLISH_FOLDER with incoming/, originals/ and processed/; each file whole or not there."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from publishing.troubles import JobFailed
from runtime.errors import OperatorNeeded
from runtime.files import make_folders, sync_file, sync_folder

INCOMING, ORIGINALS, PROCESSED = "incoming", "originals", "processed"
COPY_BYTES = 1 << 20
FILE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Shelf:
    """Finds and stores pictures below one folder; knows nothing of what is in them."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self._home = home

    @property
    def incoming(self) -> Path:
        """The folder that a webhook's pictures are taken from."""
        return self.root / INCOMING

    def prepare(self) -> None:
        """Make the folders; one outside the home must be there itself: its disk may not be mounted."""
        if not self.root.is_relative_to(self._home) and not self.root.is_dir():
            raise OperatorNeeded(
                f"There is no folder {self.root}, which PUBLISH_FOLDER names.",
                advice="Is its disk mounted? For a new one make the folder, then start again.",
            )
        if self.root.is_relative_to(self._home):
            make_folders(self.root, self._home)
        for name in (INCOMING, ORIGINALS, PROCESSED):
            (self.root / name).mkdir(exist_ok=True)

    def has_pictures(self) -> bool:
        """Return whether an original lies here: a database once knew it."""
        return any(not path.name.startswith(".") for path in (self.root / ORIGINALS).glob("*"))

    def find_original(self, file_id: str) -> Path | None:
        """Return the file's original, None where it is not there."""
        return next(iter(sorted(self._pictures(ORIGINALS, file_id))), None)

    def get_original(self, file_id: str) -> Path:
        """Return the file's original; JobFailed where it is not there."""
        found = self.find_original(file_id)
        if found is None:
            raise _missing(self.root / ORIGINALS / f"{file_id}.*")
        return found

    def get_processed(self, name: str) -> Path:
        """Return the processed picture of this name; JobFailed where it is not there."""
        path = self.root / PROCESSED / Path(name).name
        if not path.is_file():
            raise _missing(path)
        return path

    def keep_original(self, source: Path, file_id: str, suffix: str, check_stop: Callable[[], None]) -> None:
        """Copy a picture in as the file's original."""
        self.prepare()
        with source.open("rb") as taken, self._written(self.root / ORIGINALS / f"{_checked(file_id)}{suffix}") as file:
            while block := taken.read(COPY_BYTES):
                check_stop()
                file.write(block)

    @contextmanager
    def processed_file(self, file_id: str, suffix: str) -> Iterator[BinaryIO]:
        """Give a file to write; when the block ends well it is the file's only processed picture."""
        self.prepare()
        path = self.root / PROCESSED / f"{_checked(file_id)}{suffix}"
        with self._written(path) as file:
            yield file
        for other in self._pictures(PROCESSED, file_id):
            if other != path:
                other.unlink(missing_ok=True)

    def keep_processed(self, source: Path, file_id: str, suffix: str) -> str:
        """Copy a picture in as the file's processed one, and return its name."""
        with source.open("rb") as taken, self.processed_file(file_id, suffix) as file:
            shutil.copyfileobj(taken, file)
        return f"{file_id}{suffix}"

    def remove(self, file_id: str) -> int:
        """Remove all pictures of the file, and return how many they were."""
        found = [path for name in (ORIGINALS, PROCESSED) for path in self._pictures(name, file_id)]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _pictures(self, folder: str, file_id: str) -> list[Path]:
        return list((self.root / folder).glob(f"{_checked(file_id)}.*"))

    @contextmanager
    def _written(self, path: Path) -> Iterator[BinaryIO]:
        """Give a file to write aside; it is synced and renamed into place when the block ends well."""
        for left_over in path.parent.glob(f".{path.name}.*"):  # of a try that died
            left_over.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        aside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                sync_file(file.fileno())
            aside.chmod(0o644)
            aside.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise


def _checked(file_id: str) -> str:
    """Return the id as part of a path: another program may have put any text into its column."""
    if not FILE_ID.fullmatch(file_id):
        raise JobFailed(f"The file's id {file_id!r} is no UUID.", advice="Mend its row.")
    return file_id


def _missing(path: Path) -> JobFailed:
    return JobFailed(
        f"There is no file {path}.",
        advice="Is its disk mounted? Bring it back, then `python run.py publish retry ID` with the job's id.",
    )

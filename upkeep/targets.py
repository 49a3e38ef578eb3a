"""The folders on other disks that backups and mirrors are written to: is the disk really there?

An external disk that is not mounted leaves an empty folder in its place, on the system's own disk; a copy that is
written there is worth nothing, and fills the wrong disk. So each folder gets a mark when it is used first, and
nothing is written to one that has lost its mark.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import make_folders, trouble_in_words, write_json
from runtime.settings import Home

MARK = ".furniture-crawler.json"
ACCEPT = "If the folder is the right one as it is, say so once: the same command with --accept."
MOUNTED = "Is its disk mounted?"


@dataclass(frozen=True, slots=True)
class Target:
    """A folder that copies of this home are written to; `use` says what kind of copies."""

    folder: Path
    home: Home
    use: str

    def open(self, known: bool, accept: bool = False) -> str:
        """Have the folder ready and marked; return what a person should know of it, mostly nothing.

        `known` says that it was used before. OperatorNeeded where its disk may not be there, UserMistake where
        it belongs to something else; `accept` is a person's word that it is right all the same.
        """
        try:
            return self._open(known, accept)
        except OSError as error:
            raise trouble_in_words(error, self.folder) from error

    def _open(self, known: bool, accept: bool) -> str:
        if self._is_inside():
            make_folders(self.folder, self.home.root)
        elif not self.folder.is_dir():
            raise OperatorNeeded(
                f"There is no folder {self.folder}.", advice=f"{MOUNTED} If it is to be a new one, make it."
            )
        mark = self._mark()
        ours = {"program": "furniture-crawler", "use": self.use, "home": str(self.home.root)}
        if mark != ours and not accept:
            self._refuse(mark, known)
        if mark != ours:
            write_json(self.folder / MARK, ours)
        return f"{self.folder} lies on the same disk as the home: it is lost with it." if self._shares_disk() else ""

    def _refuse(self, mark: Any, known: bool) -> None:
        """Raise what speaks against a folder that has not this home's mark."""
        if mark is not None:
            told = mark.get("home", "something else") if isinstance(mark, dict) else "something else"
            use = mark.get("use") if isinstance(mark, dict) else None
            raise UserMistake(f"{self.folder} is marked as the {use or 'target'} of {told}.", advice=ACCEPT)
        if known:
            raise OperatorNeeded(
                f"{self.folder} was used before, and its mark ({MARK}) is gone.", advice=f"{MOUNTED} {ACCEPT}"
            )
        if not self._is_inside() and self._may_be_a_mount_point():
            raise OperatorNeeded(
                f"{self.folder} lies on the disk of the home or of the system.", advice=f"{MOUNTED} {ACCEPT}"
            )

    def _mark(self) -> Any:
        path = self.folder / MARK
        if not path.exists():
            return None
        with contextlib.suppress(ValueError):
            return json.loads(path.read_text(encoding="utf-8"))
        return {}

    def _is_inside(self) -> bool:
        return self.folder.is_relative_to(self.home.root)

    def _shares_disk(self) -> bool:
        return self.folder.stat().st_dev == self.home.root.stat().st_dev

    def _may_be_a_mount_point(self) -> bool:
        """Return whether the folder lies on a disk that is there in any case: it may be what a mount should cover."""
        return self.folder.stat().st_dev in (self.home.root.stat().st_dev, Path("/").stat().st_dev)

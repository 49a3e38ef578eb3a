"""Where pictures lie: the folders of `images/` and the rule that finds a picture's file by its id."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = 1_000
EXTENSIONS = {"jpeg": ".jpg", "png": ".png", "gif": ".gif", "webp": ".webp"}
FORMATS = {extension: name for name, extension in EXTENSIONS.items()}
NAME = re.compile(r"(?P<id>[0-9]{1,19})(?P<extension>\.(?:jpg|png|gif|webp))")
ASIDE = ".aside"
README = "README.md"
LARGEST = 2**63 - 1  # of a database's numbers; a file that is named by more digits is none of ours
RULE = """# {name}

{what}

A picture lies in the folder of the last three digits of its {id_name}, under that number: `{example}`.
A million pictures are about a thousand in each of the thousand folders. The ending says what the bytes are:
`.jpg`, `.png`, `.gif` or `.webp`. `{aside}/` holds files that are being written.
"""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of loose pictures, each in the sub-folder of its number's last three digits."""

    root: Path
    what: str
    id_name: str = "image_id"

    @property
    def aside(self) -> Path:
        """The folder of files that are being written; on the same disk, so that a rename finishes them."""
        return self.root / ASIDE

    def path(self, number: int, picture_format: str) -> Path:
        """Return where the picture with this number and format (of its bytes) lies."""
        return self.folder(number) / f"{number}{EXTENSIONS[picture_format]}"

    def folder(self, number: int) -> Path:
        """Return the sub-folder of this number."""
        return self.root / f"{number % FOLDERS:03d}"

    def find(self, number: int) -> Path | None:
        """Return the file of this number, whatever its format, or None."""
        found = (self.path(number, name) for name in EXTENSIONS)
        return next((path for path in found if path.is_file()), None)

    def numbers(self, folder: int) -> array[int]:
        """Return the numbers of the pictures in a sub-folder, ascending."""
        try:
            with os.scandir(self.root / f"{folder:03d}") as entries:
                return array("q", sorted(found for entry in entries if (found := number_of(entry.name)) is not None))
        except FileNotFoundError:
            return array("q")

    def folders(self) -> Iterator[Path]:
        """Return the sub-folders that are there, in order."""
        return (path for number in range(FOLDERS) if (path := self.root / f"{number:03d}").is_dir())

    def is_away(self) -> bool:
        """Return whether not one sub-folder is there: nothing was stored yet, or the disk is gone."""
        return next(self.folders(), None) is None

    def prepare(self) -> None:
        """Make the folder with its README, and clear away what a kill left half written; OSError."""
        for folder in (self.root.parent, self.root, self.aside):
            folder.mkdir(exist_ok=True)  # no folder above: nothing may appear where the disk of a home has gone
        for left in self.aside.iterdir():
            left.unlink()
        text = RULE.format(
            name=self.root.name,
            what=self.what,
            id_name=self.id_name,
            example=f"{self.root.name}/789/123456789.jpg",
            aside=ASIDE,
        )
        readme = self.root / README
        if not readme.exists():
            readme.write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of `images/`."""

    root: Path

    @property
    def downloaded(self) -> Store:
        """Pictures as they came."""
        return Store(self.root / "imagedownload", "Pictures as they came from Etsy's picture host.")

    @property
    def background_free(self) -> Store:
        """Pictures whose background was removed; archiving takes them from here."""
        return Store(self.root / "imageall_new", "Pictures without their background, until they are archived.")

    @property
    def primary(self) -> Store:
        """One picture a listing."""
        return Store(self.root / "imageprimary", "The first picture of each listing.", "listing_id")

    @property
    def shards(self) -> Path:
        """The folder of tar shards and their indexes."""
        return self.root / "imageall_tars"


def number_of(name: str) -> int | None:
    """Return the number that a stored picture's file name holds, None where it is no such name."""
    match = NAME.fullmatch(name)
    number = int(match["id"]) if match else LARGEST + 1
    return number if number <= LARGEST else None

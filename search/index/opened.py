"""The generation in force, opened and held against what is said of it; never a wrong answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import OperatorNeeded
from runtime.files import trouble_in_words
from search.index.build import digest_of
from search.index.exact import Source
from search.index.generation import current_folder, file_name
from search.index.kinds import KINDS
from search.index.library import REBUILD, Index, Rows, read_index
from search.index.manifest import IMAGE_INDEX, ROWS, BuiltFile, Manifest, load_manifest


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation that was checked as far as is cheap; `missing` says why some files cannot take part."""

    folder: Path
    manifest: Manifest
    ids: Rows
    missing: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The vector files that can be searched."""
        return tuple(name for name in self.manifest.files if name not in self.missing)

    def read(self, name: str) -> Index:
        """Return the index of a vector file; OperatorNeeded where it is not what the manifest says."""
        built, path = self.manifest.files[name], self.folder / file_name(name)
        index = read_index(path, mapped=KINDS[built.kind].is_mapped)
        if (index.rows, index.dim) != (built.rows, built.dim):
            raise OperatorNeeded(
                f"{path} holds {index.rows:,} rows of {index.dim} dimensions instead of {built.rows:,} of {built.dim}.",
                advice=REBUILD,
            )
        return index

    def check(self) -> None:
        """Read every file in full and compare its SHA-256: a flipped bit shows nowhere else; OperatorNeeded."""
        for name in self.names:
            path = self.folder / file_name(name)
            if digest_of(path) != self.manifest.files[name].sha256:
                raise OperatorNeeded(
                    f"{path} is damaged: its SHA-256 is another than when it was built.", advice=REBUILD
                )


def open_generation(folder: Path, sources: Mapping[str, Source]) -> Generation:
    """Return the generation in force under data/embeddings, for these files of the store.

    OperatorNeeded where there is none, where a file is truncated or of another make than the store's, where the store
    has fewer rows, and where image_index.json and rows.npy disagree with the manifest. A file that is not there is
    told in `missing`; the others answer.
    """
    current = current_folder(folder)
    if current is None:
        raise OperatorNeeded("There is no index yet.", advice="Build it: python run.py index")
    try:
        manifest = load_manifest(current)
        _check_lists(folder, current, manifest)
        missing = {name: why for name, source in sources.items() if (why := _missing(current, manifest, name, source))}
        ids = np.load(current / ROWS, mmap_mode="r")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise trouble_in_words(error, error.filename or current) from error
        raise OperatorNeeded(f"{current / ROWS} is damaged ({error}).", advice=REBUILD) from error
    missing |= {name: "the store has no such vectors" for name in manifest.files if name not in sources}
    return Generation(current, manifest, ids, missing)


def is_up_to_date(folder: Path, sources: Mapping[str, Source]) -> bool:
    """Return whether the generation in force is of all rows of these files, and nothing is wrong with it."""
    try:
        generation = open_generation(folder, sources)
    except OperatorNeeded:
        return False
    return not generation.missing and all(
        generation.manifest.files[name].rows == source.rows for name, source in sources.items()
    )


def _check_lists(folder: Path, current: Path, manifest: Manifest) -> None:
    """Hold both lists of rows against the manifest: 40 MB a million rows, read and hashed in 0.05 s."""
    if not (folder / IMAGE_INDEX).is_symlink():
        raise OperatorNeeded(
            f"{folder / IMAGE_INDEX} is not the one that was built with the indexes.",
            advice=f"Move it away, then: {REBUILD}",
        )
    for name, told in ((IMAGE_INDEX, manifest.image_index_sha256), (ROWS, manifest.rows_sha256)):
        if digest_of(current / name) != told:
            raise OperatorNeeded(f"{current / name} disagrees with the indexes: it was changed.", advice=REBUILD)


def _missing(current: Path, manifest: Manifest, name: str, source: Source) -> str:
    """Return why a file of the store cannot be searched, "" where it can; OperatorNeeded where it would be wrong."""
    built, path = manifest.files.get(name), current / file_name(name)
    if built is None:
        return "its index is not built yet"
    if not path.exists():
        return f"{path} is not there"
    _refuse_wrong(path, built, source)
    return ""


def _refuse_wrong(path: Path, built: BuiltFile, source: Source) -> None:
    size = path.stat().st_size
    wrong = {
        f"has {size:,} bytes instead of {built.size_bytes:,}": size != built.size_bytes,
        f"is of another make ({built.make}) than the store's vectors ({source.make})": built.make != source.make,
        f"has {built.rows:,} rows, the store only {source.rows:,}": built.rows > source.rows,
    }
    for words, holds in wrong.items():
        if holds:
            raise OperatorNeeded(f"{path} {words}.", advice=REBUILD)

"""Generations of indexes: built aside, renamed into place as a whole, switched by one link.

    data/embeddings/generations/0007/   clip_vitb32.faiss …, image_index.json, rows.npy, manifest.json
    data/embeddings/current             → generations/0007, replaced in one rename
    data/embeddings/clip_vitb32.faiss   → current/clip_vitb32.faiss, and so on: the names of the contract

Pull the plug at any moment: `current` leads to a whole generation. A folder `*.aside` is a build that died; the next
one removes it. The generation before the current one is kept: somebody may be opening it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import sync_file, sync_folder, trouble_in_words
from search.index.build import Builder, Older, digest_of
from search.index.exact import Source
from search.index.kinds import usable_kinds
from search.index.library import Rows
from search.index.manifest import (
    IMAGE_INDEX,
    ROWS,
    BuiltFile,
    Manifest,
    load_manifest,
    save_manifest,
)

GENERATIONS, CURRENT = "generations", "current"
NUMBERED = re.compile(r"\d{4,}")
KEPT = 2


def build_generation(
    folder: Path,
    sources: Mapping[str, Source],
    ids: Rows,
    observe: Callable[[str], None],
    attend: Callable[[], None],
    *,
    anew: bool = False,
) -> Manifest:
    """Build the indexes of all sources and put them into force; return what was built.

    `folder` is data/embeddings; `ids` has for each row its (listing_id, image_id). Only one build at a time. What the
    current generation has is grown where it can be, with `anew` never. `attend` may raise (Stopped): as after a death,
    the current generation stays in force. OperatorNeeded where the disk cannot be used, UserMistake without any rows.
    """
    sources = {name: source for name, source in sources.items() if source.rows}
    if not sources:
        raise UserMistake("There are no vectors to build indexes of.", advice="Make some: python run.py embed")
    try:
        aside = _prepare(folder)
        older = {} if anew else _older(folder, ids)
        builder = Builder(usable_kinds(), ids[:, 0], attend)
        built: dict[str, BuiltFile] = {}
        for name, source in sources.items():
            observe(f"Building {file_name(name)} of {source.rows:,} rows.")
            built[name] = builder.build(source, aside / file_name(name), older.get(name))
            observe(_told(name, built[name]))
        manifest = _save_lists(aside, ids, built)
        _put_into_force(folder, aside, manifest)
    except OSError as error:
        raise trouble_in_words(error, error.filename or folder) from error
    return manifest


def file_name(name: str) -> str:
    """Return what the index of a vector file is called."""
    return f"{name}.faiss"


def current_folder(folder: Path) -> Path | None:
    """Return the folder of the generation in force, None where there is none yet."""
    link = folder / CURRENT
    return link.resolve() if link.is_symlink() else None


def _prepare(folder: Path) -> Path:
    """Return an empty folder for the next generation; what died half built is removed."""
    generations = folder / GENERATIONS
    generations.mkdir(exist_ok=True)
    for left in generations.glob("*.aside"):
        shutil.rmtree(left)
    aside = generations / f"{max(_numbers(folder), default=0) + 1:04d}.aside"
    aside.mkdir()
    return aside


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in (folder / GENERATIONS).iterdir() if NUMBERED.fullmatch(path.name)]


def _older(folder: Path, ids: Rows) -> dict[str, Older]:
    """Return the files of the current generation that are whole and of the rows with which `ids` begin."""
    current = current_folder(folder)
    if current is None or not current.is_dir():
        return {}
    try:
        manifest = load_manifest(current)
        known = np.load(current / ROWS, mmap_mode="r")
    except (OperatorNeeded, OSError, ValueError):
        return {}
    if not np.array_equal(known, ids[: len(known)]):
        return {}
    files = {name: Older(current / file_name(name), built) for name, built in manifest.files.items()}
    return {name: one for name, one in files.items() if one.path.exists() and digest_of(one.path) == one.built.sha256}


def _told(name: str, built: BuiltFile) -> str:
    return f"{file_name(name)}: {built.kind}, recall@10 {built.recall:.3f} with {built.candidates:,} candidates."


def _save_lists(aside: Path, ids: Rows, built: Mapping[str, BuiltFile]) -> Manifest:
    index, rows = aside / IMAGE_INDEX, aside / ROWS
    with index.open("w", encoding="utf-8") as text:
        text.write(json.dumps(ids.tolist(), separators=(",", ":")))
        text.flush()
        sync_file(text.fileno())
    with rows.open("wb") as binary:
        np.save(binary, np.ascontiguousarray(ids, np.int64))
        binary.flush()
        sync_file(binary.fileno())
    number = int(aside.stem)
    manifest = Manifest(number, len(ids), dict(built), digest_of(index), digest_of(rows))
    save_manifest(aside, manifest)
    return manifest


def _put_into_force(folder: Path, aside: Path, manifest: Manifest) -> None:
    sync_folder(aside)
    made = aside.rename(aside.with_suffix(""))
    sync_folder(made.parent)
    _link(folder / CURRENT, Path(GENERATIONS, made.name))
    for name in (*map(file_name, manifest.files), IMAGE_INDEX):
        _link(folder / name, Path(CURRENT, name))
    sync_folder(folder)
    for number in sorted(_numbers(folder))[:-KEPT]:
        shutil.rmtree(folder / GENERATIONS / f"{number:04d}")


def _link(path: Path, target: Path) -> None:
    """Make a link in one step; a file of somebody else's in its place is left alone, with OperatorNeeded."""
    if path.is_symlink() and path.readlink() == target:
        return
    if path.exists() and not path.is_symlink():
        raise OperatorNeeded(
            f"{path} is in the way: a link to {target} belongs there.", advice="Move it away, then start again."
        )
    aside = path.with_name(f".{path.name}.link")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(path)

"""A backup put into an empty home: every file checked against its SHA-256, the databases last.

The home has no database before the last rename, so a death in the middle leaves a home that is not complete, and
knows it: the same command begins anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import make_folders, sync_folder
from runtime.settings import Home
from runtime.stop import Stop
from upkeep.backup import SECRET_FILES, VECTORS
from upkeep.databases import check_database
from upkeep.manifest import MANIFEST, Manifest, backups_in, load_manifest
from upkeep.trees import copy_file, remove_tree

ASIDE = ".restoring"


class Restoring:
    """Puts the backup at `folder`, or the newest of those in it, into the home; `database` is the crawl's SQLite file.

    The home's own settings are kept where it has some.
    """

    def __init__(self, folder: Path, home: Home, database: Path | None, stop: Stop) -> None:
        self._backup = _chosen(folder)
        self._home = home
        self._database = database
        self._stop = stop

    def run(self) -> list[str]:
        """Restore, and return in words what was restored; UserMistake where the home holds something already."""
        manifest = load_manifest(self._backup)
        if (self._database is None) != manifest.crawl_database.endswith(".dump"):
            raise UserMistake(
                f"{self._backup} is of a {'SQLite file' if self._database is None else 'PostgreSQL server'}, "
                "and DATABASE_URL names the other kind.",
                advice="Set DATABASE_URL to what the backup is of, then try again.",
            )
        aside = self._home.root / ASIDE
        self._refuse_if_used(aside)
        if aside.exists():
            remove_tree(aside)
        self._check_room(manifest)
        aside.mkdir()
        self._copy(manifest, aside)
        for name in manifest.rows:
            check_database(aside / name, self._stop)
        self._put_in_place(manifest, aside)
        remove_tree(aside)
        return list(self._told(manifest))

    def _refuse_if_used(self, aside: Path) -> None:
        """Raise UserMistake where the home has data; pictures, dumps and logs may be there."""
        database = self._database
        data = [database, database.with_name(f"{database.name}-wal")] if database else []
        if not aside.exists():  # else they are of a restore that did not come to its end
            vectors = self._home.root / VECTORS
            data += [self._home.publishing_database, *self._home.data.glob("*ids.json"), *vectors.glob("*/*")]
        found = [path for path in data if path.exists()]
        if found:
            raise UserMistake(
                f"This home has data already: {found[0]}{' and more' if found[1:] else ''}.",
                advice="Restore into an empty home, or move its folder data away first; nothing was changed.",
            )

    def _check_room(self, manifest: Manifest) -> None:
        needed, free = sum(kept.size for kept in manifest.files.values()), shutil.disk_usage(self._home.root).free
        if free < needed:
            raise OperatorNeeded(
                f"{self._home.root} has {free / 1e9:.1f} GB free; the backup has {needed / 1e9:.1f} GB.",
                advice="Free some space, then try again.",
            )

    def _copy(self, manifest: Manifest, aside: Path) -> None:
        for name, kept in manifest.files.items():
            target = aside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                found = copy_file(self._backup / name, target, self._stop.raise_if_requested)
            except FileNotFoundError as error:
                raise self._damaged(name, "is gone") from error
            if found != (kept.size, kept.sha256):
                raise self._damaged(name, "is not what it was")

    def _damaged(self, name: str, how: str) -> OperatorNeeded:
        return OperatorNeeded(
            f"{self._backup / name} {how}: this backup is damaged, and nothing was restored.",
            advice="Take another backup.",
        )

    def _put_in_place(self, manifest: Manifest, aside: Path) -> None:
        databases = [name for name in manifest.files if name in manifest.rows or name == manifest.crawl_database]
        others = [name for name in manifest.files if name not in databases]
        crawl_last = sorted(databases, key=lambda name: name == manifest.crawl_database)
        for name in [*others, *crawl_last]:
            target = self._home.root / name
            if name == manifest.crawl_database and self._database is not None:
                target = self._database
            if name in SECRET_FILES and target.exists():
                continue
            if target.is_relative_to(self._home.root):
                make_folders(target.parent, self._home.root)
            (aside / name).chmod(0o600 if name in SECRET_FILES else 0o644)
            self._move(aside / name, target)
            sync_folder(target.parent)

    def _move(self, source: Path, target: Path) -> None:
        """Move a file, whole or not at all, also to another disk."""
        if source.stat().st_dev != target.parent.stat().st_dev:
            near = target.with_name(f"{ASIDE}-{target.name}")
            near.unlink(missing_ok=True)
            copy_file(source, near, self._stop.raise_if_requested)
            source = near
        source.replace(target)

    def _told(self, manifest: Manifest) -> Iterator[str]:
        yield f"Restored {self._backup} of {manifest.made_at} into {self._home.root}."
        if self._database is None:
            yield (
                f"The database's dump is {self._home.root / manifest.crawl_database}; put it into an empty database: "
                f"pg_restore --no-owner --dbname=ADDRESS {self._home.root / manifest.crawl_database}"
            )
        elif isinstance(manifest.position, dict):
            yield f"The crawl stood in {manifest.position.get('state')}, cycle {manifest.position.get('cycle')}."
        yield "Pictures are not in a backup: put images/ back from its mirror, or see docs/operations.md."
        yield "Go on with: python run.py"


def _chosen(folder: Path) -> Path:
    if (folder / MANIFEST).is_file():
        return folder
    found = backups_in(folder)
    if not found:
        raise UserMistake(f"{folder} is no backup and holds none.", advice="Name a backup, or the folder of them.")
    return list(found.values())[-1]

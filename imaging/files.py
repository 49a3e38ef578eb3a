"""The pictures' bytes for whoever makes something of them: as downloaded, and without their background.

Where a picture lies, loose or in a shard, is not told; what cannot be read is left out, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from imaging.disk import Disk, put, settle
from imaging.layout import Layout, Store
from imaging.shards import NoIndex, NoShard, PictureTrouble, ShardReader
from imaging.store.auditing import Row, done_again
from imaging.store.queue import any_embedded
from runtime.errors import OperatorNeeded
from runtime.files import trouble_in_words

log = logging.getLogger(__name__)


class PictureFiles:
    """Reads and stores pictures of one home; the database is open and bound."""

    def __init__(self, layout: Layout, min_free_gb: float) -> None:
        self._layout = layout
        self._reader = ShardReader(layout.shards)
        self._disk = Disk(layout.background_free, min_free_gb, any_embedded)

    def read_downloaded(self, image_ids: Collection[int]) -> dict[int, bytes]:
        """Return the bytes of these pictures as they came, by image_id."""
        rows = {row.image_id: row for row in done_again(list(image_ids))}
        found = ((image_id, self._read(self._layout.downloaded, row, row.raw_shard)) for image_id, row in rows.items())
        return {image_id: body for image_id, body in found if body is not None}

    def read_background_free(self, image_ids: Collection[int]) -> dict[int, bytes]:
        """Return the bytes of these pictures without their background, by image_id."""
        rows = {row.image_id: row for row in done_again(list(image_ids)) if row.bg_removed}
        store = self._layout.background_free
        found = ((image_id, self._read(store, row, row.shard)) for image_id, row in rows.items())
        return {image_id: body for image_id, body in found if body is not None}

    def find_primary(self, listing_id: int) -> Path | None:
        """Return the file that shows the listing in imageprimary/, None where there is none."""
        return self._layout.primary.find(listing_id)

    def store_background_free(self, bodies: Mapping[int, bytes]) -> None:
        """Store these JPEGs under their image_ids, whole and on the disk when this returns; OperatorNeeded."""
        store, trouble = self._layout.background_free, self._disk.trouble()
        if trouble:
            raise OperatorNeeded(f"{trouble}.", advice="Mend this, then start again; nothing is lost.")
        try:
            folders: set[Path] = set()
            paths = [store.path(image_id, "jpeg") for image_id in bodies]
            for path, body in zip(paths, bodies.values(), strict=True):
                put(path, store.aside / path.name, body, folders)
            settle(store.root, paths)
        except OSError as error:
            self._disk.unusable()
            raise trouble_in_words(error, store.root) from error

    def _read(self, store: Store, row: Row, shard: str | None) -> bytes | None:
        try:
            if shard is not None:
                return self._reader.read(shard, row.image_id)
            path = store.find(row.image_id)
            if path is not None:
                return path.read_bytes()
            log.warning("Picture %d is not in %s.", row.image_id, store.root)
        except (NoShard, NoIndex, PictureTrouble) as trouble:
            log.warning("%s", trouble)
        except OSError as error:
            log.warning("Picture %d cannot be read (%s).", row.image_id, error.strerror)
        return None

"""Where pictures come from and go to; who keeps them is decided at the door."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol


class PictureFiles(Protocol):
    """The pictures of one home; what cannot be read is left out of the answers."""

    def read_downloaded(self, image_ids: Collection[int]) -> Mapping[int, bytes]:
        """Return the bytes of these pictures as they came, by image_id."""

    def read_background_free(self, image_ids: Collection[int]) -> Mapping[int, bytes]:
        """Return the bytes of these pictures without their background, by image_id."""

    def find_primary(self, listing_id: int) -> Path | None:
        """Return the file that shows the listing, None where there is none."""

    def store_background_free(self, bodies: Mapping[int, bytes]) -> None:
        """Store these JPEGs under their image_ids, whole and on the disk when this returns; OperatorNeeded."""

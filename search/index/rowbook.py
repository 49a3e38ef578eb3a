"""Which rows are of which listing and image, held sorted in memory."""

from __future__ import annotations

import numpy as np

from search.index.library import Rows


class RowBook:
    """Knows the rows of a listing; 32 bytes a row, made in 0.1 s a million rows."""

    def __init__(self, ids: Rows) -> None:
        self._ids = ids
        self._order = np.argsort(ids[:, 0], kind="stable")
        self._sorted = ids[self._order, 0]

    def __len__(self) -> int:
        return len(self._ids)

    def listings_of(self, rows: Rows) -> Rows:
        """Return the listing_id of each row."""
        return np.asarray(self._ids[rows, 0])

    def images_of(self, rows: Rows) -> Rows:
        """Return the image_id of each row."""
        return np.asarray(self._ids[rows, 1])

    def rows_of(self, listings: Rows) -> Rows:
        """Return all rows of these listings, ascending."""
        listings = np.unique(listings)
        first = np.searchsorted(self._sorted, listings, "left")
        lengths = np.searchsorted(self._sorted, listings, "right") - first
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.sort(self._order[np.repeat(first, lengths) + within])

    def row_of_image(self, image_id: int) -> int | None:
        """Return the first row of this image, None where it has none; looks at all rows."""
        found = np.flatnonzero(self._ids[:, 1] == image_id)
        return int(found[0]) if len(found) else None

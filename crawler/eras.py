"""Which listings are wanted, by when they were made. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

FIRST_WANTED_YEAR = 2000
SPAN = re.compile(r"^([0-9]{4})_[0-9]{4}$")
DECADE = re.compile(r"^([0-9]{4})s$")


@lru_cache(maxsize=1_000)
def is_wanted(when_made: str | None) -> bool:
    """Return whether the listing was surely made in 2000 or later.

    The values roll every January, so the patterns are read and no list is kept: made_to_order, YYYY_YYYY,
    YYYYs, before_YYYY. `before_2007` says nothing sure; neither does a value that is missing.
    """
    if when_made is None:
        return False
    if when_made == "made_to_order":
        return True
    match = SPAN.match(when_made) or DECADE.match(when_made)
    return match is not None and int(match.group(1)) >= FIRST_WANTED_YEAR

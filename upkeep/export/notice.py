"""What lies beside the files of an export: what they are, how old they are, and under which terms they may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runtime.clock import iso
from runtime.notice import NOTICE
from upkeep.export.files import Written

README, MANIFEST = "README.md", "manifest.json"
TERMS = "https://www.etsy.com/legal/api"
WORDS = """# An export of furniture listings

Made at {made_at} from one consistent snapshot of the database. What each column means, and how
values are carried forward, is told in docs/analysis.md of the program that made it; rows, columns and SHA-256 of each
file are in manifest.json.

- `listings_asof`, `shops_asof`: a row for each listing (shop) and week with the last values known, and their age.
- `reviews`: each review with what it is about.
- `tables/`: every table of the database as it is, sorted by its key.

## Age

Everything here was true when it was read, not when you look at it. {until}

| table | rows | oldest `snapshot_timestamp` | newest |
|---|---|---|---|
{ages}

## Terms

{notice}

The data come from Etsy's API and are under its terms of use ({terms}): read them before you
pass any of it on or show it. By what others say of them, listings that are shown to people may be at most 6 hours old
and other content at most 24 hours: older figures may be studied, and are not to be shown as Etsy's present offer.
Titles, descriptions and reviews are their authors', the members of Etsy; `tables/reviews` has the numbers of those who
bought.
"""


@dataclass(frozen=True, slots=True)
class Age:
    """How many rows a table has, and between which moments (Unix seconds) they were read; None where it says none."""

    table: str
    rows: int
    oldest: int | None
    newest: int | None


def readme(made_at: str, until: str | None, ages: Sequence[Age]) -> str:
    """Return the words for a person; `until` is the newest moment of all tables."""
    lines = [f"| {age.table} | {age.rows:,} | {_told(age.oldest) or ''} | {_told(age.newest) or ''} |" for age in ages]
    told = f"The newest row was read at {until}." if until else "No row tells when it was read."
    return WORDS.format(made_at=made_at, until=told, ages="\n".join(lines), notice=NOTICE, terms=TERMS)


def manifest(made_at: str, until: str | None, ages: Sequence[Age], written: Mapping[str, Written]) -> dict[str, Any]:
    """Return the same for programs, with each file by its path in the folder."""
    files = {
        path: {key: value for key, value in asdict(file).items() if key != "name"} for path, file in written.items()
    }
    spans = {age.table: {"rows": age.rows, "oldest": _told(age.oldest), "newest": _told(age.newest)} for age in ages}
    return {
        "made_at": made_at,
        "data_until": until,
        "notice": NOTICE,
        "terms": TERMS,
        "ages": spans,
        "files": files,
    }


def _told(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)

"""Templates into answers: everything that sellers and servers wrote is escaped."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse

from runtime.clock import DAY_SECONDS, Clock, parse_iso
from runtime.notice import NOTICE
from web.guard import Guard

TEMPLATES = Path(__file__).resolve().parent / "templates"
PAGES = (("/", "Now"), ("/market", "Market"), ("/search", "Search"), ("/health", "Health"))


class Pages:
    """Renders the templates."""

    def __init__(self, clock: Clock, guard: Guard) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"notice": NOTICE, "pages": PAGES, "token": guard.token}
        self._environment.filters |= {
            "number": number,
            "money": money,
            "ago": self.ago,
            "moment": moment,
            "era": era_in_words,
            "drawn": Markup,  # SVG of web.charts, which escapes what it is given
        }

    def render(self, template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Return the page."""
        page = self._environment.get_template(template).render(**context)
        return HTMLResponse(page, status, {"cache-control": "no-store"})

    def refused(self, status: int, title: str, words: str) -> HTMLResponse:
        """Return a page that says why there is none."""
        return self.render("refused.html", {"here": "", "title": title, "words": words}, status)

    def ago(self, at: str | None) -> str:
        """Return how long ago a moment (ISO 8601 UTC) was, in words."""
        try:
            seconds = self._clock.now() - parse_iso(at or "")
        except ValueError:
            return "never"
        if seconds < 0:
            return "in the future"
        for size, name in ((DAY_SECONDS, "day"), (3600.0, "hour"), (60.0, "minute")):
            if seconds >= size:
                count = int(seconds // size)
                return f"{count} {name}{'' if count == 1 else 's'} ago"
        return "just now"


def number(value: float | None) -> str:
    """Return the number with commas, a dash where it is not known."""
    return "–" if value is None else f"{value:,.10g}"


def money(value: float | None, currency: str | None) -> str:
    """Return a price as read, a dash where none is known."""
    return "–" if value is None else f"{value:,.2f} {currency or ''}".rstrip()


def era_in_words(era: str | None) -> str:
    """Return when something was made, as in 2010 to 2019 or made to order; a dash where it is not known."""
    return "–" if not era else era.replace("_", "–" if era[:1].isdigit() else " ")


def moment(unix_seconds: float | None) -> str:
    """Return the day of a moment, a dash where it is not known or cannot be."""
    try:
        return "–" if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return "–"


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return the rows as CSV; nothing stands for what is not known."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return out.getvalue()

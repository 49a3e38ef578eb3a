"""The composition root of upkeep: builds the parts from the settings and opens the database."""

from __future__ import annotations

from peewee import Database
from rich.console import Console

from models import CRAWLER_MODELS
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import STOP_NAMES


def build_parts(settings: Settings, console: Console) -> Parts:
    """Return the parts that need neither network nor database."""
    return Parts.build(settings, console, STOP_NAMES)


def open_for_reading(parts: Parts) -> Database:
    """Open the database for looking only."""
    return parts.open_for_reading(CRAWLER_MODELS)

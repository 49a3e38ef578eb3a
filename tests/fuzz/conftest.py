"""Tells at the end of the run how many inputs there were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.budget import INPUTS, counted_in_words
from tests.simulation.counts import note_count


@pytest.fixture(scope="session", autouse=True)
def inputs_are_told() -> Iterator[None]:
    yield
    if INPUTS:
        note_count("fuzz", counted_in_words())

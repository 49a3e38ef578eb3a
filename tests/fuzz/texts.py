"""What a person may leave behind in a file: the right content, nearly the right content, or anything at all."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import strategies as st

from tests.fuzz.mutants import broken, mutated
from tests.fuzz.odd import made, values


def files(*whole: Any) -> st.SearchStrategy[bytes]:
    """Return what makes files of JSON: mutations of these values, of their text, any JSON, any bytes."""
    texts = [json.dumps(value).encode() for value in whole]
    mutants = made(_mutant, st.sampled_from(texts), st.integers(0, 2**48), st.integers(1, 5))
    return st.one_of(mutants, lines(*texts), made(written, values))


def _mutant(text: bytes, seed: int, times: int) -> bytes:
    return written(mutated(orjson.loads(text), seed, times))


def lines(*texts: bytes) -> st.SearchStrategy[bytes]:
    """Return what makes files of text: mutations of these, and any bytes."""
    breaking = made(broken, st.sampled_from(texts), st.integers(0, 2**48), st.integers(0, 4))
    return breaking | st.binary(max_size=60)


def written(value: Any) -> bytes:
    """Return the value as Python's json writes it, NaN and half characters included."""
    try:
        return json.dumps(value).encode()
    except (RecursionError, ValueError):
        return b"[" * 5_000

"""CLIP's byte pairs without torch: words to the numbers that an exported text side reads.

The vocabulary is open_clip's own file, kept beside the export; a test holds the result to open_clip's tokenizer.
"""

from __future__ import annotations

import gzip
import html
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import ftfy
import numpy as np
import numpy.typing as npt
import regex

MERGES = 49_152 - 256 - 2  # of the file's lines; then two signs for the beginning and the end
BEGIN, END = "<start_of_text>", "<end_of_text>"
WORDS = regex.compile(
    rf"{BEGIN}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE
)
LAST = "</w>"
REMEMBERED_WORDS = 50_000
Tokenizer = Callable[[Sequence[str]], npt.NDArray[np.int64]]


def load_tokenizer(vocabulary: Path, length: int) -> Tokenizer:
    """Return what makes texts by `length` tokens, a long text cut, with the vocabulary of a file; OSError."""
    lines = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")[1 : 1 + MERGES]
    signs = _signs()
    merges = [tuple(line.split()) for line in lines]
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    units = [*signs.values(), *(sign + LAST for sign in signs.values()), *map("".join, merges), BEGIN, END]
    numbers = {unit: number for number, unit in enumerate(units)}

    @lru_cache(REMEMBERED_WORDS)
    def of_word(word: str) -> tuple[int, ...]:
        if word in (BEGIN, END):
            return (numbers[word],)
        return tuple(numbers[unit] for unit in _merge("".join(signs[byte] for byte in word.encode()), ranks))

    def tokens(texts: Sequence[str]) -> npt.NDArray[np.int64]:
        found = np.zeros((len(texts), length), np.int64)
        for row, text in zip(found, texts, strict=True):
            read = [number for word in WORDS.findall(_clean(text)) for number in of_word(word)]
            told = [numbers[BEGIN], *read[: length - 2], numbers[END]]
            row[: len(told)] = told
        return found

    return tokens


def _clean(text: str) -> str:
    """Return the text mended, without HTML's signs, in small letters and single spaces."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return " ".join(mended.split()).lower()


def _merge(word: str, ranks: dict[tuple[str, ...], int]) -> list[str]:
    """Return the word's units: the pair that is joined first in the vocabulary is joined, until none is left."""
    units = [*word[:-1], word[-1] + LAST]
    while len(units) > 1:
        first, second = min(pairwise(units), key=lambda pair: ranks.get(pair, len(ranks)))
        if (first, second) not in ranks:
            break
        joined: list[str] = []
        for unit in units:
            if unit == second and joined and joined[-1] == first:
                joined[-1] = first + second
            else:
                joined.append(unit)
        units = joined
    return units


def _signs() -> dict[int, str]:
    """Return a sign that can be printed for each of the 256 bytes, in the order of the vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + number) for number, byte in enumerate(others)}

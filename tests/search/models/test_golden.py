"""A model is trusted where it gives, for fixed pictures and texts, the vectors that it has to give."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import OperatorNeeded
from search.catalogue import Make, Vectors
from search.embedders.golden import (
    GOLDEN_TEXTS,
    check_golden,
    golden_path,
    golden_pictures,
    golden_vectors,
    load_golden,
    save_golden,
)
from search.embedders.loading import load_torch
from search.embedders.parts import unit
from tests.search.models.checkpoints import Shelf

Told = dict[str, Vectors]
MAKE = Make("clip_vitb32", "0" * 64, "as ever", "torch")
ALL_PIXELS = "11f238243da1ea8caf5d64105ac8427c60a3e353e3ea7e186751118e35a55de4"


def vectors(seed: int = 1, dim: int = 512) -> Told:
    numbers = np.random.default_rng(seed)
    rows = {"pictures": 16, "texts": 8}
    return {kind: unit(numbers.standard_normal((many, dim)).astype(np.float32)) for kind, many in rows.items()}


def test_the_golden_pictures_are_the_same_to_the_last_bit_everywhere() -> None:
    seen = hashlib.sha256()
    for picture in golden_pictures():
        seen.update(f"{picture.mode} {picture.size}".encode() + picture.tobytes())
    assert seen.hexdigest() == ALL_PIXELS


def test_there_are_sixteen_golden_pictures_and_eight_texts_none_twice() -> None:
    assert len({picture.tobytes() for picture in golden_pictures()}) == 16
    assert len(set(GOLDEN_TEXTS)) == 8


def test_a_model_reproduces_its_own_golden_vectors_in_half_precision(shelf: Shelf, tmp_path: Path) -> None:
    model = shelf.make("clip_vitb32")
    full = shelf.load("clip_vitb32")
    save_golden(tmp_path, full.make, golden_vectors(full, has_text=True))
    half = load_torch(model, shelf.places, "cpu", "bf16")
    check_golden(load_golden(tmp_path, half.make), golden_vectors(half, has_text=True))


def test_a_model_of_pictures_alone_has_no_golden_texts(shelf: Shelf) -> None:
    found = golden_vectors(load_torch(shelf.make("dinov2_base"), shelf.places, "cpu", "bf16"), has_text=False)
    assert {kind: rows.shape for kind, rows in found.items()} == {"pictures": (16, 768)}


def test_what_differs_by_a_rounding_passes() -> None:
    rough = {kind: rows.astype(np.float16).astype(np.float32) for kind, rows in vectors().items()}
    check_golden(vectors(), rough)


def with_nan(told: Told) -> Told:
    told["texts"][3, 7] = np.nan
    return told


def one_turned(told: Told) -> Told:
    told["pictures"][5] = unit(told["pictures"][5:6] + 0.02)[0]
    return told


REFUSED: dict[str, tuple[Callable[[], Told], str]] = {
    "noise": (lambda: vectors(2), "cosine"),
    "not a number": (lambda: with_nan(vectors()), "texts hold what is no number"),
    "infinite": (
        lambda: {"pictures": vectors()["pictures"] * np.float32(np.inf), "texts": vectors()["texts"]},
        "number",
    ),
    "another dimension": (lambda: vectors(dim=768), r"\(16, 768\), not \(16, 512\)"),
    "a row short": (lambda: {kind: rows[:-1] for kind, rows in vectors().items()}, r"\(15, 512\)"),
    "no texts": (lambda: {"pictures": vectors()["pictures"]}, r"gave \['pictures'\]"),
    "not of length one": (lambda: {kind: 2 * rows for kind, rows in vectors().items()}, "not of length one"),
    "zeros": (lambda: {kind: 0 * rows for kind, rows in vectors().items()}, "not of length one"),
    "one picture off": (lambda: one_turned(vectors()), "number 5 of the pictures"),
    "in another order": (lambda: {kind: rows[::-1] for kind, rows in vectors().items()}, "cosine"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_other_vectors_are_refused_in_words(why: str) -> None:
    measured, sentence = REFUSED[why]
    with pytest.raises(OperatorNeeded, match=sentence):
        check_golden(vectors(), measured())


def test_a_model_with_other_weights_is_refused(shelf: Shelf) -> None:
    own = load_torch(shelf.make("dinov2_base"), shelf.places, "cpu", "bf16")
    other = load_torch(shelf.make("dinov3_base"), shelf.places, "cpu", "bf16")
    with pytest.raises(OperatorNeeded, match="cosine"):
        check_golden(golden_vectors(own, has_text=False), golden_vectors(other, has_text=False))


def test_saved_golden_vectors_come_back_to_the_bit(tmp_path: Path) -> None:
    path = save_golden(tmp_path / "golden", MAKE, vectors())
    assert path == golden_path(tmp_path / "golden", MAKE)
    found = load_golden(tmp_path / "golden", MAKE)
    assert {kind: np.array_equal(rows, vectors()[kind]) for kind, rows in found.items()} == {
        "pictures": True,
        "texts": True,
    }


def test_golden_vectors_of_another_make_are_not_there(tmp_path: Path) -> None:
    save_golden(tmp_path, MAKE, vectors())
    with pytest.raises(OperatorNeeded, match="no golden vectors of clip_vitb32"):
        load_golden(tmp_path, replace(MAKE, back_end="onnx"))


def test_a_file_under_anothers_name_is_not_taken(tmp_path: Path) -> None:
    other = replace(MAKE, weights="1" * 64)
    save_golden(tmp_path, MAKE, vectors()).rename(golden_path(tmp_path, other))
    with pytest.raises(OperatorNeeded, match="of another make"):
        load_golden(tmp_path, other)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_a_sentence(tmp_path: Path, share: float) -> None:
    path = save_golden(tmp_path, MAKE, vectors())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(OperatorNeeded, match="cannot be read"):
        load_golden(tmp_path, MAKE)

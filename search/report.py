"""How embedding stands, in words."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.clock import iso
from search.embedding import Standing
from search.pace import Pace
from search.stages import CUT, EMBED


def progress_in_words(standing: Standing, pace: Pace, waiting: tuple[int, int], now: float) -> dict[str, str]:
    """Return the progress display's labels and values; `waiting` counts what waits to be cut and to be embedded."""
    there = set(standing.workers)
    to_cut, to_embed = waiting
    rates = {stage: pace.per_second(stage, there) for stage in (CUT, EMBED)}
    told = {
        "backgrounds": f"{standing.done.get(CUT, 0):,} removed, {to_cut:,} wait, {rates[CUT]:.2f} a second",
        "vectors": f"{standing.done.get(EMBED, 0):,} made, {to_embed:,} wait, {rates[EMBED]:.2f} a second",
        "workers": _workers_in_words(standing, pace),
        "models": _models_in_words(standing.workers, pace),
        "expected end": _end_in_words(rates, to_cut, to_embed, now),
    }
    if standing.given_up:
        told["given up"] = f"{standing.given_up:,}"
    return told


def closing_words(standing: Standing, waiting: tuple[int, int], stopped_by: str) -> str:
    """Return what `embed` says at its end."""
    to_cut, to_embed = waiting
    words = [f"{standing.done.get(CUT, 0):,} backgrounds removed, {standing.done.get(EMBED, 0):,} images embedded."]
    if standing.kept:
        words.append(
            f"{standing.kept:,} of them are as they were: without the background nothing would have been left."
        )
    if standing.given_up:
        words.append(f"{standing.given_up:,} were given up; the log names them.")
    for worker, why in standing.refused.items():
        words.append(f"The worker {worker} was refused: {why}")
    if to_cut or to_embed:
        words.append(f"{to_cut:,} wait for their background to go, {to_embed:,} for their vectors.")
    if stopped_by:
        words.append(f"Stopped by {stopped_by}; the same command goes on.")
    return " ".join(words)


def _workers_in_words(standing: Standing, pace: Pace) -> str:
    return ", ".join(
        f"{worker} (refused)"
        if worker in standing.refused
        else f"{worker} {pace.per_second(EMBED, {worker}):.2f} a second"
        for worker in standing.workers
    )


def _models_in_words(workers: Sequence[str], pace: Pace) -> str:
    speeds = [
        f"{model} {speed.per_second:.2f}" + (f" ({worker})" if len(workers) > 1 else "")
        for (worker, model), speed in pace.models.items()
        if worker in workers and speed.per_second is not None
    ]
    return ", ".join(speeds) + (" a second" if speeds else "")


def _end_in_words(rates: dict[str, float], to_cut: int, to_embed: int, now: float) -> str:
    """Return when all is done where one worker does both in turn: each picture costs both stages' time."""
    if (to_cut and not rates[CUT]) or not rates[EMBED]:
        return "not known yet"
    seconds = (to_cut / rates[CUT] if to_cut else 0.0) + (to_cut + to_embed) / rates[EMBED]
    return f"about {iso(now + seconds)}"

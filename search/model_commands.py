"""`python run.py models`: which models are on this machine, where they come from, and what may be done with them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from runtime.errors import CrawlError, OperatorNeeded
from runtime.settings import Home, Settings
from search.background import Background, background_path, get_background
from search.catalogue import Make, Model
from search.embedders.device import AUTO, ONNX, TORCH, probe
from search.embedders.exported import find_export
from search.embedders.hashes import hash_of
from search.embedders.preprocess import preprocessing_name
from search.embedders.weights import FOLDER, Places, fetch_weights, find_weights
from search.wiring import chosen_models

HASH_LETTERS = 12
COLUMNS = ("model", "numbers", "here", "weights", "make", "exported", "from", "licence")
NO = "–"
RELEASES = "https://github.com/danielgatis/rembg/releases"


class Line(NamedTuple):
    """A model as the table shows it; `here` is where its weights were found, empty where they were not."""

    name: str
    dim: str
    here: str
    weights: str
    make: str
    exported: str
    sources: str
    licence: str


class Task(NamedTuple):
    """Something to do for one model, with what to say while it is done."""

    words: str
    do: Callable[[], object]


def models(settings: Settings, console: Console, fetch: bool, export: bool) -> int:
    """Show the models of the settings, after fetching what is missing and exporting what is not exported, as asked.

    What fails for one model is said below the table, and the others go on; the exit status is then not 0.
    """
    places = places_of(settings)
    wanted = tuple(chosen_models(settings).values())
    background = get_background(settings.background_model)
    machine = probe()
    troubles = _do(_fetches(wanted, background, places), console) if fetch else []
    troubles += _do(_exports(wanted, places), console) if export else []
    back_end = machine.back_end if settings.embed_back_end == AUTO else settings.embed_back_end
    lines = [_background_line(background, places)]
    for model in reversed(wanted):
        try:
            lines.insert(0, _line(model, places, back_end))
        except CrawlError as error:
            troubles.append(error)
    _show(lines, console)
    console.print(f"Models are looked for in {places.models_folder}. This machine: {machine.words()}.")
    for trouble in troubles:
        console.print(trouble.words())
    return max((trouble.exit_status for trouble in troubles), default=0)


def places_of(settings: Settings) -> Places:
    """Return where the settings say that models lie."""
    return Places(Home(settings.crawler_home).models_folder(settings.models_folder), settings.hub_folder)


def _fetches(wanted: Iterable[Model], background: Background, places: Places) -> Iterable[Task]:
    """Yield a download for everything that is not here."""
    for model in wanted:
        if find_weights(model, places) is None:
            words = f"Downloading {model.name} from {model.hub} (licence: {model.licence})."
            yield Task(words, partial(fetch_weights, model, places))
    path = background_path(background.name, places.models_folder)
    if not path.is_file():
        rembg = importlib.import_module("search.background_rembg")
        words = f"Downloading the background model {background.name} (licence: {background.licence})."
        yield Task(words, partial(rembg.fetch_background, background, path))


def _exports(wanted: Iterable[Model], places: Places) -> Iterable[Task]:
    """Yield an export for every model whose export is missing or of other weights."""
    try:
        exporter = importlib.import_module("search.embedders.export")
    except ImportError as error:
        raise OperatorNeeded(
            f"Models cannot be exported here ({error}).",
            advice="Export them on a machine with a current torch, and copy the folder of models.",
        ) from error
    for model in wanted:
        weights, made = find_weights(model, places), find_export(model, places)
        if weights is None or made is None or made.weights != weights.sha256:
            yield Task(f"Exporting {model.name}.", partial(exporter.export, model, places))


def _do(tasks: Iterable[Task], console: Console) -> list[CrawlError]:
    """Do the tasks one after the other and return what went wrong."""
    troubles: list[CrawlError] = []
    for task in tasks:
        console.print(task.words)
        try:
            task.do()
        except CrawlError as error:
            troubles.append(error)
    return troubles


def _line(model: Model, places: Places, back_end: str) -> Line:
    """Return the model's line; its make is what its vectors will have, empty where it cannot be loaded here."""
    weights, made = find_weights(model, places), find_export(model, places)
    known = {TORCH: weights and weights.sha256, ONNX: made and made.weights}.get(back_end)
    make = known and Make(model.name, known, preprocessing_name(model.preprocessing), back_end).id
    return Line(
        model.name,
        str(model.dim),
        weights.origin if weights else "missing",
        weights.sha256[:HASH_LETTERS] if weights else NO,
        make or NO,
        "yes" if made else NO,
        " or ".join(model.sources),
        model.licence,
    )


def _background_line(background: Background, places: Places) -> Line:
    path = background_path(background.name, places.models_folder)
    there = path.is_file()
    digest = hash_of(path, places.models_folder)[:HASH_LETTERS] if there else NO
    here = FOLDER if there else "missing"
    return Line(f"background {background.name}", NO, here, digest, NO, NO, RELEASES, background.licence)


def _show(lines: Iterable[Line], console: Console) -> None:
    table = Table(*COLUMNS)
    for line in lines:
        table.add_row(*line)
    console.print(table)

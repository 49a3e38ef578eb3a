"""The sub-command `embed`: from settings to words on the terminal."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from peewee import Database
from rich.console import Console

from runtime.clock import iso
from runtime.database import transaction
from runtime.errors import OperatorNeeded, Stopped, UserMistake
from runtime.parts import Parts
from runtime.progress import Progress
from runtime.rate import Looked
from runtime.settings import Settings
from runtime.work import EMBED as WORK
from runtime.work import at_work
from search import report
from search.certificates import FOLDER, load_security, make_certificate
from search.crew import HERE, LocalCrew
from search.crews import Crews
from search.dask_crew import DaskCrew
from search.embedding import Embedding, Standing
from search.gate import Gate
from search.pace import Pace
from search.pictures import PictureFiles
from search.references import load_references
from search.stage_stops import StageStops
from search.stages import CUT, EMBED, CutStage, EmbedStage
from search.store import rows
from search.store.vector_store import VectorStore
from search.wiring import (
    KILL_BG,
    KILL_EMBED,
    KILL_ORCH,
    Kit,
    build_kit,
    build_parts,
    build_store,
    open_for_writing,
)
from search.work import Workbench

TITLE = "embedding"
COUNT_SECONDS = 5.0
log = logging.getLogger(__name__)


def embed(
    settings: Settings,
    console: Console,
    pictures: PictureFiles,
    renew: Sequence[str] = (),
    build: Callable[[Parts], Kit] = build_kit,
) -> int:
    """Remove backgrounds and make vectors until nothing waits, or until stopped, then build the indexes; status 0.

    All vectors of the models in `renew` are made anew.
    """
    parts = build_parts(settings, console, KILL_ORCH)
    with at_work(parts, WORK, partial(open_for_writing, parts)) as database:
        stage_stops = StageStops(parts.home, parts.clock, {CUT: KILL_BG, EMBED: KILL_EMBED}, parts.stop)
        stage_stops.clear_old_files()
        kit = build(parts)
        unknown = [name for name in renew if name not in kit.models]
        if unknown:
            raise UserMistake(f"There is no model {unknown[0]}.", advice=f"There are: {', '.join(kit.models)}.")
        store = build_store(parts, kit.models, database)
        store.recover()
        for name in renew:
            store.forget(name)
        standing = Standing()
        if any(rows.count_waiting()) or store.behind():
            log.info("This machine: %s.", kit.machine)
            standing = _run(parts, kit, store, pictures, database, stage_stops)
        stage_stops.obeyed()
        words = report.closing_words(standing, rows.count_waiting(), parts.stop.reason)
        console.print(words, highlight=False, soft_wrap=True)
        if not parts.stop.requested():
            _build_indexes(kit)
    return 0


def _run(
    parts: Parts,
    kit: Kit,
    store: VectorStore,
    pictures: PictureFiles,
    database: Database,
    stage_stops: StageStops,
) -> Standing:
    makes = {name: kit.load(name).make for name in kit.models}
    store.settle_makes(makes)
    make_ids = {name: make.id for name, make in makes.items()}
    changing = partial(transaction, database, parts.stop)
    cutting = CutStage(pictures, changing)
    stages = (EmbedStage(pictures, store, make_ids, changing), cutting)
    gate = Gate(load_references(parts.home.embeddings, kit.models, makes, kit.reference), make_ids)
    leaving = threading.Event()

    def attend() -> None:
        parts.stop.raise_if_requested()
        if leaving.is_set():
            raise Stopped("The crew is let go.")

    here = LocalCrew(Workbench(HERE, kit.models, kit.load, kit.load_remover, parts.clock, attend), leaving)
    crew = Crews([here, *_helpers(parts)])
    waiting = Looked(parts.clock, COUNT_SECONDS, rows.count_waiting)
    with Progress(parts.console, parts.clock, TITLE) as progress:

        def observe(standing: Standing, pace: Pace) -> None:
            if waiting.due():
                waiting.value()
                rates = {worker: round(pace.per_second(EMBED, {worker}), 3) for worker in standing.workers}
                with changing():
                    rows.save_standing(iso(parts.clock.now()), rates, pace.by_model(standing.workers))
            if progress.due():
                progress.show(report.progress_in_words(standing, pace, waiting.value(), parts.clock.now()))

        run = Embedding(stages, crew, gate, Pace(), parts.clock, parts.stop, stage_stops.is_closed, observe)
        try:
            run.run()
        except Stopped:
            pass
        finally:
            crew.close()
    run.standing.kept = cutting.kept
    return run.standing


def _helpers(parts: Parts) -> Iterator[DaskCrew]:
    """Yield the crew of helpers, where the settings say on which address they are waited for."""
    address, folder = parts.settings.embed_address, parts.home.embeddings / FOLDER
    if address:
        make_certificate(folder, parts.home.root, parts.clock.now())
        yield DaskCrew(address, load_security(folder))
        log.info("Helpers are waited for on %s; they need a copy of %s.", address, folder)


def _build_indexes(kit: Kit) -> None:
    """Have a process of its own build the indexes: on a Mac their library and torch's crash in one."""
    if not rows.number_of_rows():
        return
    done = subprocess.run(kit.index_command, check=False)
    if done.returncode:
        raise OperatorNeeded(
            "The vectors are stored, but their indexes could not be built.", advice="Try: python run.py index"
        )

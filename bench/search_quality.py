"""How good the ensemble is beside each of its models: `make bench-search`.

    python -m bench.search_quality [FOLDER]

Each picture in turn is the query, and the others of its kind are what should come first: recall@1, recall@10 and mean
average precision. Without a folder: pieces drawn by the sandbox from several angles, by the small embedders of the
tests, since there are no weights to download. With a folder (one sub-folder a label, pictures in them): the real models
of EMBED_MODELS with their weights, each picture with its background removed or, with --as-it-is, as it is.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import figures
from bench.figures import Figure
from runtime.errors import CrawlError, ItemTrouble, UserMistake
from runtime.settings import Home, load_settings
from search import ensemble
from search.catalogue import Catalogue, Loader, Vectors
from search.embedders.preprocess import open_picture
from search.evaluation import Quality, evaluate, pick_queries
from search.index.exact import Source
from search.index.generation import build_generation
from search.index.library import Rows
from search.index.opened import open_generation
from search.index.served import Served
from search.store.vectors import VectorFile
from search.wiring import build_kit, build_parts
from tests.search.home import DATABASE, crawled
from tests.search.small import SMALL, RoomRemover, load_small

ROOT = Path(__file__).resolve().parent.parent
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif")
TOGETHER = "ensemble"
Remove = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture's file and the number of what it shows."""

    path: Path
    label: int


def labelled_folder(folder: Path) -> list[Labelled]:
    """Return the pictures of each sub-folder; all pictures of one show the same. UserMistake where there are none."""
    labels = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = [
        Labelled(path, number)
        for number, label in enumerate(labels, 1)
        for path in sorted(label.iterdir())
        if path.suffix.lower() in ENDINGS
    ]
    if not found:
        raise UserMistake(f"{folder} holds no pictures.", advice="Name a folder with one sub-folder a label.")
    return found


def drawn_pictures(listings: int) -> list[Labelled]:
    """Return the sandbox's pictures of so many pieces."""
    home = crawled(listings)
    pictures = {int(path.stem): path for path in Home(home).images.rglob("imagedownload/*/*.jpg")}
    with closing(sqlite3.connect(home / DATABASE)) as database:
        of = database.execute("SELECT listing_id, image_id FROM image_status ORDER BY listing_id").fetchall()
    return [Labelled(pictures[image_id], listing_id) for listing_id, image_id in of]


@contextmanager
def served(
    folder: Path, models: Catalogue, load: Loader, remove: Remove, pictures: Sequence[Labelled]
) -> Iterator[Served]:
    """Embed the pictures with every model, index them, and serve the index while the block lasts."""
    opened, kept = [], []
    for one in pictures:
        try:
            opened.append(open_picture(remove(one.path.read_bytes())))
            kept.append(one)
        except ItemTrouble as trouble:
            print(f"{one.path}: {trouble}", file=sys.stderr)
    sources = {}
    for name, model in models.items():
        embedder = load(name)
        file = VectorFile(folder / "store" / name, model.dim)
        file.append(0, embedder.embed_pictures(opened).astype(np.float16))
        sources[name] = Source(file, len(kept), embedder.make.id)
    ids = np.array([(one.label, number) for number, one in enumerate(kept)], np.int64).reshape(-1, 2)
    build_generation(folder, sources, ids, lambda words: None, lambda: None)
    found = Served(open_generation(folder, sources), sources, ids[:0])
    yield found
    found.close()


def compare(place: Served, names: Sequence[str], queries: int) -> dict[str, Quality]:
    """Return the quality of each model alone, of all together, and of the other ways to join them."""

    def vectors_of(name: str, rows: Rows) -> Vectors:
        return place.source(name).file.gather(rows).astype(np.float32)

    asked = pick_queries(place, queries)
    found = {name: evaluate(place, vectors_of, asked, [name]) for name in names}
    found[TOGETHER] = evaluate(place, vectors_of, asked, names)
    others = [fusion for fusion in ensemble.FUSIONS if fusion != ensemble.DEFAULT]
    return found | {fusion: evaluate(place, vectors_of, asked, names, fusion) for fusion in others}


def table(title: str, found: Mapping[str, Quality]) -> Table:
    """Return the comparison as a table."""
    made = Table(title=title, title_justify="left")
    for name in ("", "recall@1", "recall@10", "mAP"):
        made.add_column(name, justify="right" if name else "left")
    for name, told in found.items():
        numbers = (told.recall_at_1, told.recall_at_10, told.mean_average_precision)
        made.add_row(name, *(f"{number:.3f}" for number in numbers))
    return made


def main(arguments: Sequence[str]) -> int:
    """Compare and print; exit status 2 where the folder or a model cannot be used."""
    parser = argparse.ArgumentParser(prog="bench.search_quality", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="pictures, one sub-folder a label")
    parser.add_argument("--listings", type=int, default=300, help="pieces to draw without a folder (%(default)s)")
    parser.add_argument("--queries", type=int, default=500, help="pictures to ask with (%(default)s)")
    parser.add_argument("--as-it-is", action="store_true", help="leave backgrounds where they are")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args(arguments)
    try:
        models, load, remove, pictures = _chosen(given)
        with (
            tempfile.TemporaryDirectory(prefix="bench-quality-") as name,
            served(Path(name), models, load, remove, pictures) as place,
        ):
            found = compare(place, list(models), given.queries)
    except CrawlError as error:
        print(error.words(), file=sys.stderr)
        return 2
    console = Console(width=160, highlight=False)
    queries = found[TOGETHER].queries
    console.print(table(f"{len(pictures):,} pictures, {queries:,} queries", found))
    if given.json:
        figures.write(_figures(found, list(models)), given.json)
    return 0


def _chosen(given: argparse.Namespace) -> tuple[Catalogue, Loader, Remove, list[Labelled]]:
    if given.folder is None:
        return SMALL, load_small, lambda body: RoomRemover().remove(body).body, drawn_pictures(given.listings)
    kit = build_kit(build_parts(load_settings(ROOT), Console()))
    remover = None if given.as_it_is else kit.load_remover()
    remove: Remove = (lambda body: body) if remover is None else (lambda body: remover.remove(body).body)
    return kit.models, kit.load, remove, labelled_folder(given.folder)


def _figures(found: Mapping[str, Quality], names: Sequence[str]) -> Iterator[Figure]:
    best = max(names, key=lambda name: found[name].recall_at_1)
    ours, theirs = found[TOGETHER].recall_at_1, found[best].recall_at_1
    yield Figure(
        "search: recall@1 of the ensemble",
        f"{ours:.3f}",
        f"best model: {theirs:.3f}",
        ours / theirs,
        "> 1",
        ours > theirs,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""UpscaleImage {factor?, dpi?}: the original, larger, becomes the processed picture."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO

from publishing.aspect import aspect_ratio
from publishing.changes import Outcome, PictureMade
from publishing.handlers.context import Context, file_of
from publishing.payloads import number_of, whole_of
from publishing.records import Task

FACTOR, DPI = 2.0, 300  # what is asked for where the payload says nothing


def run(task: Task, context: Context) -> Outcome:
    """Make the picture; whoever repeats it puts an equal one in its place."""
    file = file_of(task)
    factor, dpi = number_of(task.payload, "factor", 1, 16, FACTOR), whole_of(task.payload, "dpi", 1, 2400, DPI)

    def make(suffix: str) -> AbstractContextManager[BinaryIO]:
        return context.shelf.processed_file(file.id, suffix)

    made = context.upscaler.upscale(context.shelf.get_original(file.id), factor, dpi, make)
    name, ratio = f"{file.id}{made.suffix}", aspect_ratio(made.width, made.height)
    result = {"processed_filename": name, "width": made.width, "height": made.height, "dpi": dpi}
    return Outcome(result, (PictureMade(name, made.width, made.height, ratio),))

"""UpdateImage {path}: a picture that was made elsewhere, by hand for example, becomes the processed one."""

from __future__ import annotations

from publishing.aspect import aspect_ratio
from publishing.changes import Outcome, PictureMade
from publishing.handlers.context import Context, file_of
from publishing.payloads import text_of
from publishing.pictures import measure
from publishing.records import Task
from publishing.troubles import FileBroken, JobFailed


def run(task: Task, context: Context) -> Outcome:
    """Keep a copy of the picture; a bad one leaves the file as it was."""
    file = file_of(task)
    source = context.shelf.incoming / text_of(task.payload, "path")
    try:
        made = measure(source)
    except FileBroken as error:  # of the picture that was sent: the file has its own still
        raise JobFailed(str(error), advice="Send another picture; the file is as it was.") from error
    name = context.shelf.keep_processed(source, file.id, made.suffix)
    result = {"processed_filename": name, "width": made.width, "height": made.height}
    return Outcome(result, (PictureMade(name, made.width, made.height, aspect_ratio(made.width, made.height)),))

"""CreateFileRecord {path, original_filename?, species?, drive_file_id?, digest?}: a picture becomes a file.

The file's id is the id of the job that makes it: whoever repeats the job makes the same file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from publishing.aspect import aspect_ratio
from publishing.changes import FileMade, Outcome
from publishing.handlers.context import Context
from publishing.payloads import find_text, text_of
from publishing.pictures import measure
from publishing.records import Task
from publishing.troubles import JobFailed


def run(task: Task, context: Context) -> Outcome:
    """Measure the picture, keep a copy as the original, and have its row made."""
    source = context.shelf.incoming / text_of(task.payload, "path")  # an absolute path stays what it is
    measured = measure(source)
    digest = find_text(task.payload, "digest")
    if digest is not None and digest != digest_of(source):
        raise JobFailed(f"{source} has changed since it was ingested.", advice="Ingest its folder again.")
    file_id = task.claim.id
    context.shelf.keep_original(source, file_id, measured.suffix, context.check_stop)
    made = FileMade(
        file_id,
        find_text(task.payload, "original_filename") or source.name,
        find_text(task.payload, "species"),
        find_text(task.payload, "drive_file_id"),
        measured.width,
        measured.height,
        aspect_ratio(measured.width, measured.height),
    )
    return Outcome({"file_id": file_id, "width": measured.width, "height": measured.height}, (made,))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of the file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

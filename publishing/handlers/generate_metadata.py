"""GenerateMetadata {title?, told?}: what is said of the artwork in shops and posts."""

from __future__ import annotations

from publishing.changes import MetadataWritten, Outcome
from publishing.handlers.context import Context, file_of
from publishing.metadata import Facts, WrongShape
from publishing.names import words_of
from publishing.payloads import find_text, object_of
from publishing.records import Task
from publishing.troubles import JobFailed


def run(task: Task, context: Context) -> Outcome:
    """Have the metadata written, from the picture's facts and what a person told."""
    file = file_of(task)
    named = words_of(file.original_filename)
    title = find_text(task.payload, "title") or named.title
    told = object_of(task.payload, "told")
    facts = Facts(title, file.species or named.species, file.width, file.height, file.aspect_ratio, told)
    try:
        metadata = context.writer.write(facts)
    except WrongShape as error:
        raise JobFailed(f"{error}.", advice="Mend what was written beside the picture, then send it again.") from error
    return Outcome({"title": metadata.title}, (MetadataWritten(metadata.as_json()),))

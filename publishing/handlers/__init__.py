"""What carries out each type of command; every one is harmless to repeat.

A handler gets values, works on files and platforms, and says in its Outcome what is to be written; it writes no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from publishing.changes import Outcome
from publishing.handlers import (
    create_file,
    create_listing,
    delete_file,
    generate_metadata,
    publish_social,
    update_image,
    update_listing,
    upscale,
)
from publishing.handlers.context import Context
from publishing.machine import ALIVE, APPROVED, FAILED, INGESTED, PROCESSED, PROCESSING, PUBLISHED
from publishing.records import Task

BEING_MADE = (INGESTED, PROCESSING, PROCESSED)


@dataclass(frozen=True, slots=True)
class Handler:
    """What runs a command, and the statuses that its file must have (none: the command has no file yet).

    `begins` says that a file which was only ingested is being processed from now on.
    """

    run: Callable[[Task, Context], Outcome]
    statuses: tuple[str, ...]
    begins: bool = False


HANDLERS = {
    "CreateFileRecord": Handler(create_file.run, ()),
    "UpscaleImage": Handler(upscale.run, BEING_MADE, begins=True),
    "UpdateImage": Handler(update_image.run, ALIVE, begins=True),
    "GenerateMetadata": Handler(generate_metadata.run, BEING_MADE, begins=True),
    "CreateListing": Handler(create_listing.run, (APPROVED, PUBLISHED)),
    "UpdateListing": Handler(update_listing.run, (APPROVED, PUBLISHED)),
    "PublishSocial": Handler(publish_social.run, (APPROVED, PUBLISHED)),
    "DeleteFile": Handler(delete_file.run, (*ALIVE, FAILED)),
}

"""What handlers work with: where pictures lie, what makes pictures and words, the platforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from publishing.metadata import MetadataWriter, WrongShape, parse_metadata
from publishing.pictures import Upscaler
from publishing.platforms import ShopPlatform, SocialPlatform
from publishing.platforms.platform import Artwork
from publishing.records import Claim, FileRecord, Task
from publishing.shelf import Shelf
from publishing.troubles import JobFailed


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that handlers are given.

    `check_stop` raises Stopped where a stop was asked for; `holds` says whether the job is still this worker's.
    """

    shelf: Shelf
    upscaler: Upscaler
    writer: MetadataWriter
    shops: Mapping[str, ShopPlatform]
    socials: Mapping[str, SocialPlatform]
    check_stop: Callable[[], None]
    holds: Callable[[Claim], bool]


def file_of(task: Task) -> FileRecord:
    """Return the task's file; JobFailed where it has none."""
    if task.file is None:
        raise JobFailed(
            f"{task.claim.command_type} needs a file, and the job names none that is there.",
            advice="See `python run.py publish status` for the files' ids.",
        )
    return task.file


def artwork_of(file: FileRecord) -> Artwork:
    """Return what platforms are told of the file; JobFailed where its metadata is missing or has the wrong shape."""
    if not file.metadata_json:
        raise JobFailed(f"File {file.id} has no metadata.", advice="Send GenerateMetadata for it first.")
    try:
        metadata = parse_metadata(file.metadata_json)
    except WrongShape as error:
        raise JobFailed(f"File {file.id}: {error}.", advice="Send GenerateMetadata for it again.") from error
    return Artwork(file.id, metadata, file.created_at)

"""DeleteFile {}: the file, its pictures and all rows about it are removed; what stands on platforms stays there."""

from __future__ import annotations

from publishing.changes import FileGone, Outcome
from publishing.handlers.context import Context
from publishing.records import Task


def run(task: Task, context: Context) -> Outcome:
    """Remove the pictures and have the rows deleted; a file that is gone already is none to complain about."""
    if task.file is None:
        return Outcome({"deleted": None})
    pictures = context.shelf.remove(task.file.id)
    left = [f"{listing.platform} {listing.platform_listing_id}" for listing in task.listings]
    return Outcome({"deleted": task.file.id, "pictures": pictures, "left_on_platforms": left}, (FileGone(),))

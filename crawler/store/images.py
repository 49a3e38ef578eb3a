"""How many pictures wait and how many are there."""

from __future__ import annotations

from models import ImageStatus


def queue() -> dict[str, int]:
    """Return how many images are queued for download and how many are done."""
    queued = ImageStatus.select().where(ImageStatus.download_done == 0, ImageStatus.to_download == 1)
    done = ImageStatus.select().where(ImageStatus.download_done == 1)
    return {"queued": int(queued.count()), "done": int(done.count())}

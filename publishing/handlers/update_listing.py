"""UpdateListing {platform, title?, description?, state?, …}: fields of the artwork's listing are changed.

Without fields, title, description, tags and picture become what the file has now.
"""

from __future__ import annotations

from publishing.changes import ListingNoted, Outcome
from publishing.handlers.context import Context, artwork_of, file_of
from publishing.payloads import choice_of
from publishing.pictures import rendition
from publishing.platforms import SHOPS
from publishing.records import Task
from publishing.troubles import JobFailed, TryLater

ABOUT_THE_JOB = {"platform", "file_id", "then"}


def run(task: Task, context: Context) -> Outcome:
    """Change the listing; the same change made twice is the same."""
    file, platform = file_of(task), choice_of(task.payload, "platform", SHOPS)
    shop, noted = context.shops[platform], task.listing_on(platform)
    artwork = artwork_of(file)
    if noted is None:
        shop_has_none = f"File {file.id} has no listing on {platform}."
        if file.status == "approved":
            raise TryLater(f"{shop_has_none} Its CreateListing may still be under way.")
        raise JobFailed(shop_has_none, advice="Send CreateListing for it first.")
    listing = shop.update_listing(noted.platform_listing_id, artwork, task.payload)
    if not set(task.payload) - ABOUT_THE_JOB and file.processed_filename:
        picture = rendition(context.shelf.get_processed(file.processed_filename))
        shop.put_picture(listing.id, picture, artwork.metadata.title)
    noting = ListingNoted(platform, listing.id, listing.url or noted.listing_url, listing.status)
    return Outcome({"platform_listing_id": listing.id, "status": listing.status}, (noting,))

"""CreateListing {platform, price, taxonomy_id, quantity?, …}: the artwork as a draft in a shop, once and never twice.

noted already → nothing is done
refused by the shop's rules, picture unreadable → the job fails before anything outside is asked
found in the shop (an earlier try died before it was noted) → it is taken as ours
else it is made; then its picture is put there, and it is noted
"""

from __future__ import annotations

from publishing.changes import ListingNoted, Outcome
from publishing.handlers.context import Context, artwork_of, file_of
from publishing.payloads import choice_of
from publishing.pictures import rendition
from publishing.platforms import SHOPS
from publishing.records import Task
from publishing.troubles import JobFailed, TryLater


def run(task: Task, context: Context) -> Outcome:
    """Have the file listed on the platform."""
    file, platform = file_of(task), choice_of(task.payload, "platform", SHOPS)
    shop = context.shops[platform]
    noted = task.listing_on(platform)
    if noted is not None:
        return Outcome({"platform_listing_id": noted.platform_listing_id, "was_there": "noted"})
    artwork = artwork_of(file)
    shop.check(task.payload)
    if not file.processed_filename:
        raise JobFailed(f"File {file.id} has no processed picture.", advice="Send UpscaleImage for it first.")
    picture = rendition(context.shelf.get_processed(file.processed_filename))
    listing = shop.find_listing(artwork)
    was_there = "found" if listing else "made"
    if listing is None:
        if not context.holds(task.claim):  # it stalled, and somebody else has taken it up: that one makes the listing
            raise TryLater("Another worker has taken the job up.")
        listing = shop.create_listing(artwork, task.payload)
    shop.put_picture(listing.id, picture, artwork.metadata.title)
    noting = ListingNoted(platform, listing.id, listing.url, listing.status)
    return Outcome({"platform_listing_id": listing.id, "was_there": was_there}, (noting,))

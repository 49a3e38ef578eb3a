"""Collected data: shops, listings, reviews and the state of each image.

Timestamps of type TEXT are ISO 8601 UTC with seconds and `Z`; those of type INTEGER are Unix seconds as the
API gives them. Booleans are 0/1. Columns are nullable wherever the API may leave the key out: what was not
said is kept as NULL, not guessed.
"""

from __future__ import annotations

from peewee import (
    SQL,
    BigIntegerField,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from models.fields import BigCountField, CountField, RealField


class Shop(Model):
    """Static shop data, written once when the shop is first met.

    A shop that a listing names but no answer has brought yet is a row with its id alone; its
    `snapshot_timestamp` is NULL until the data comes.
    """

    shop_id = BigIntegerField(primary_key=True)
    snapshot_timestamp = TextField(null=True)
    create_date = BigIntegerField(null=True)
    url = TextField(null=True)
    is_shop_us_based = IntegerField(null=True)
    shipping_from_country_iso = TextField(null=True)
    shop_location_country_iso = TextField(null=True)

    class Meta:
        table_name = "shops"


class ShopDynamic(Model):
    """What changes of a shop, appended at each sync."""

    shop = ForeignKeyField(Shop, column_name="shop_id", index=False)
    snapshot_timestamp = TextField()
    update_date = BigIntegerField(null=True)
    listing_active_count = BigIntegerField(null=True)
    accepts_custom_requests = IntegerField(null=True)
    num_favorers = BigIntegerField(null=True)
    transaction_sold_count = BigIntegerField(null=True)
    review_average = RealField(null=True)
    review_count = BigIntegerField(null=True)

    class Meta:
        table_name = "shops_dynamic"
        primary_key = CompositeKey("shop", "snapshot_timestamp")


class Listing(Model):
    """Static listing data, written once when the listing is first met."""

    listing_id = BigIntegerField(primary_key=True)
    snapshot_timestamp = TextField()
    shop = ForeignKeyField(Shop, column_name="shop_id")
    title = TextField(null=True)
    description = TextField(null=True)
    creation_timestamp = BigIntegerField(null=True)
    url = TextField(null=True)
    is_customizable = IntegerField(null=True)
    is_personalizable = IntegerField(null=True)
    listing_type = TextField(null=True)
    tags = TextField()
    materials = TextField()
    processing_min = BigIntegerField(null=True)
    processing_max = BigIntegerField(null=True)
    who_made = TextField(null=True)
    when_made = TextField(null=True)
    item_weight = RealField(null=True)
    item_weight_unit = TextField(null=True)
    item_length = RealField(null=True)
    item_width = RealField(null=True)
    item_height = RealField(null=True)
    item_dimensions_unit = TextField(null=True)
    should_auto_renew = IntegerField(null=True)
    language = TextField(null=True)
    price_amount = BigIntegerField(null=True)
    price_divisor = BigIntegerField(null=True)
    price_currency = TextField(null=True)
    taxonomy_id = BigIntegerField(null=True)
    production_partners = TextField()

    class Meta:
        table_name = "listings"


class ListingDynamic(Model):
    """What changes of a listing, appended at each sync; `removed` where the API no longer knows it."""

    listing = ForeignKeyField(Listing, column_name="listing_id", index=False)
    snapshot_timestamp = TextField()
    state = TextField(null=True)
    ending_timestamp = BigIntegerField(null=True)
    quantity = BigIntegerField(null=True)
    num_favorers = BigIntegerField(null=True)
    views = BigIntegerField(null=True)
    price_amount = BigIntegerField(null=True)
    price_divisor = BigIntegerField(null=True)
    price_currency = TextField(null=True)

    class Meta:
        table_name = "listings_dynamic"
        primary_key = CompositeKey("listing", "snapshot_timestamp")


class Review(Model):
    """A review, append-only; an edited one keeps its first text.

    `transaction_id` (an extra column) is what identifies a review. Where the API leaves it out, a negative
    number made from shop, listing, buyer and time stands for it, so that no review is stored twice. There is
    no foreign key to listings: reviews outlive the listings that they are about.
    """

    transaction_id = BigIntegerField(primary_key=True)
    snapshot_timestamp = TextField()
    shop = ForeignKeyField(Shop, column_name="shop_id", index=False)
    listing_id = BigIntegerField(null=True, index=True)
    buyer_user_id = BigIntegerField(null=True)
    rating = BigIntegerField(null=True)
    review = TextField(null=True)
    language = TextField(null=True)
    create_timestamp = BigIntegerField(null=True)

    class Meta:
        table_name = "reviews"
        indexes = ((("shop", "create_timestamp"), False),)


class ImageStatus(Model):
    """One image of one listing on its way through download, background removal and embedding.

    Extra columns. `url` keeps the whole address where it has another form than the one that hex and suffix
    rebuild; it is NULL for all the others. `outcome` says what came of the last try (imaging/outcomes.py names
    them; NULL: not tried), `attempts` how often it failed, `retry_at` (Unix seconds) when it may be tried again.
    Of a picture that is there: `format` by its bytes (jpeg, png, gif, webp), `width` and `height` in pixels,
    `size_bytes`, `digest` (BLAKE2b, 128 bits, hex) and `downloaded_at`, which is also the file's modification
    time. `raw_shard` and `shard` name the tar shards that hold the picture as downloaded and the background-free
    one, NULL while they are loose files. `in_primary` is 1 where images/imageprimary shows this picture for its
    listing. `bg_outcome` says what became of the background: "removed", "kept" (nothing would have been left: the
    picture is as downloaded, on white), or why the picture cannot be used. `embedded` is 1 where the vector files
    have a row of it, `embed_outcome` says why they never will. Rows of several listings with the same image_id
    share one file.
    """

    listing = ForeignKeyField(Listing, column_name="listing_id", index=False)
    image_id = BigIntegerField()
    shop_id = BigIntegerField()
    hex = TextField()
    suffix = TextField()
    is_primary = IntegerField()
    when_made = TextField(null=True)
    price = RealField(null=True)
    to_download = CountField(1)
    download_done = CountField()
    bg_removed = CountField()
    embed_clip_vitb32 = CountField()
    embed_clip_vitl14 = CountField()
    embed_dinov2_base = CountField()
    embed_dinov2_large = CountField()
    embed_dinov3_base = CountField()
    url = TextField(null=True)
    outcome = TextField(null=True)
    attempts = CountField()
    retry_at = BigCountField()
    format = TextField(null=True)
    width = IntegerField(null=True)
    height = IntegerField(null=True)
    size_bytes = IntegerField(null=True)
    digest = TextField(null=True)
    downloaded_at = TextField(null=True)
    raw_shard = TextField(null=True)
    shard = TextField(null=True)
    in_primary = CountField()
    bg_outcome = TextField(null=True)
    embedded = CountField()
    embed_outcome = TextField(null=True)

    class Meta:
        table_name = "image_status"
        primary_key = CompositeKey("listing", "image_id")
        indexes = ((("image_id",), False),)


# Small however many pictures are done: what the next part of the work takes from, and what failed.
TO_CUT = "download_done = 1 AND bg_removed = 0 AND bg_outcome IS NULL"
TO_EMBED = "bg_removed = 1 AND embedded = 0 AND embed_outcome IS NULL"
QUEUED = "download_done = 0 AND to_download = 1"
FAILED = "outcome <> 'done'"
ImageStatus.add_index(
    ImageStatus.index(
        ImageStatus.is_primary,
        ImageStatus.retry_at,
        ImageStatus.image_id,
        where=SQL(QUEUED),
        name="image_status_queued",
    )
)
IN_ORDER = (ImageStatus.is_primary, ImageStatus.listing, ImageStatus.image_id)
for name, waiting in (("image_status_to_cut", TO_CUT), ("image_status_to_embed", TO_EMBED)):
    ImageStatus.add_index(ImageStatus.index(*IN_ORDER, where=SQL(waiting), name=name))
ImageStatus.add_index(ImageStatus.index(ImageStatus.outcome, where=SQL(FAILED), name="image_status_failed"))

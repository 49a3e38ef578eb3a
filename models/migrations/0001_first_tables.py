"""The first tables: collected data and the crawler's own state, frozen as they were then."""

from __future__ import annotations

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    CompositeKey,
    Database,
    DateTimeField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)
from playhouse.migrate import SchemaMigrator


class RealField(FloatField):
    field_type = "DOUBLE"


class TimestampField(DateTimeField):
    field_type = "TIMESTAMP"


class CountField(IntegerField):
    def __init__(self, default: int = 0) -> None:
        super().__init__(default=default, constraints=[SQL(f"DEFAULT {default}")])


class Shop(Model):
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
    transaction_id = BigIntegerField(primary_key=True)
    snapshot_timestamp = TextField()
    shop = ForeignKeyField(Shop, column_name="shop_id")
    listing_id = BigIntegerField(null=True, index=True)
    buyer_user_id = BigIntegerField(null=True)
    rating = BigIntegerField(null=True)
    review = TextField(null=True)
    language = TextField(null=True)
    create_timestamp = BigIntegerField(null=True)

    class Meta:
        table_name = "reviews"


class ImageStatus(Model):
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

    class Meta:
        table_name = "image_status"
        primary_key = CompositeKey("listing", "image_id")
        indexes = ((("download_done", "to_download"), False),)


class SyncState(Model):
    key = TextField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "sync_state"


class Interval(Model):
    id = AutoField()
    cycle = IntegerField()
    taxonomy_id = BigIntegerField()
    min_price = RealField()
    max_price = RealField(null=True)
    sort_order = TextField(default="desc")
    forced = CountField()
    parent_id = IntegerField(null=True)
    status = TextField(default="pending")
    reported_count = IntegerField(null=True)
    count_at_start = IntegerField(null=True)
    count_at_end = IntegerField(null=True)
    pages = CountField()
    distinct_rows = CountField()
    repeats = CountField()
    passes = CountField()
    started_at = TextField(null=True)
    finished_at = TextField(null=True)
    verdict = TextField(null=True)
    tolerance = IntegerField(null=True)
    note = TextField(null=True)

    class Meta:
        table_name = "intervals"
        indexes = ((("cycle", "status"), False),)


class IndexedListing(Model):
    listing_id = BigIntegerField(primary_key=True)
    shop_id = BigIntegerField(null=True)
    when_made = TextField(null=True)
    wanted = IntegerField()
    taxonomy_id = BigIntegerField(null=True)
    price = RealField(null=True)
    price_currency = TextField(null=True)
    first_seen_at = TextField()
    last_seen_at = TextField()
    last_seen_cycle = IntegerField()
    last_interval_id = IntegerField(null=True)
    detail_due_at = TextField(null=True)
    detail_cycle = CountField()
    idle_count = CountField()
    known = CountField()
    image_count = CountField()
    images_missing = CountField()

    class Meta:
        table_name = "indexed_listings"
        indexes = (
            (("last_seen_cycle", "detail_due_at"), False),
            (("idle_count", "detail_due_at"), False),
            (("images_missing", "listing_id"), False),
            (("price",), False),
        )


class IndexedShop(Model):
    shop_id = BigIntegerField(primary_key=True)
    seen_cycle = IntegerField()
    detail_due_at = TextField(null=True)
    detail_cycle = CountField()
    known = CountField()
    gone = CountField()
    watermark = BigIntegerField(null=True)
    visited_at = TextField(null=True)
    visited_review_count = IntegerField(null=True)
    visited_review_average = RealField(null=True)
    visited_sold_count = IntegerField(null=True)
    review_due = CountField()
    review_cycle = CountField()

    class Meta:
        table_name = "indexed_shops"
        indexes = (
            (("review_due", "shop_id"), False),
            (("visited_at",), False),
            (("seen_cycle", "detail_due_at"), False),
        )


class FailedItem(Model):
    id = AutoField()
    kind = TextField()
    item_id = TextField()
    error = TextField()
    attempts = CountField(1)
    first_failed_at = TextField()
    last_failed_at = TextField()

    class Meta:
        table_name = "failed_items"
        indexes = ((("kind", "item_id"), True),)


class ApiUsage(Model):
    id = AutoField()
    service = TextField(index=True)
    endpoint = TextField(null=True)
    request_count = CountField(1)
    rate_limit_remaining = IntegerField(null=True)
    rate_limit_reset_at = TimestampField(null=True)
    recorded_at = TimestampField(index=True, constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "api_usage"


TABLES: tuple[type[Model], ...] = (
    Shop,
    ShopDynamic,
    Listing,
    ListingDynamic,
    Review,
    ImageStatus,
    SyncState,
    Interval,
    IndexedListing,
    IndexedShop,
    FailedItem,
    ApiUsage,
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create all tables."""
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.create_tables(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Drop all tables."""
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.drop_tables(TABLES)

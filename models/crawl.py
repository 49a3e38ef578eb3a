"""The crawler's own tables: where it stands, its plan, its index of everything ever seen, its calls."""

from __future__ import annotations

from peewee import SQL, AutoField, BigIntegerField, IntegerField, Model, TextField

from models.fields import CountField, RealField, TimestampField


class SyncState(Model):
    """Key and JSON value; the machine's position lives here, in one transaction with the rows."""

    key = TextField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "sync_state"


class RowCount(Model):
    """How many rows there are of a table, or of one kind; kept by SQLite's triggers, empty in PostgreSQL."""

    name = TextField(primary_key=True)
    number = BigIntegerField()

    class Meta:
        table_name = "row_counts"


class Interval(Model):
    """One price interval of one cycle's plan, and its certificate of completeness once it is walked.

    `forced` 1 is one price with more listings than a search can reach, walked as far as it goes.
    Prices are in major units (USD), both ends inclusive; `max_price` NULL is no upper end. `status` is one of
    pending, walking, done, split. `verdict` is one of complete, drifted, unreachable.
    """

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
    """The discovery index: every listing that a search ever showed, wanted or not.

    `detail_due_at` is when its details should be asked for next, NULL for never; `detail_cycle` the cycle in
    which they last were (0: never); `idle_count` how many times in a row it was found not active;
    `image_count` how many images it was said to have; `images_missing` 1 where an answer left them out, 2
    where asking for them failed in this cycle; `images_digest` a number made of all that was last told of them
    (NULL: nothing was): while it stays, their rows need not be looked at.
    """

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
    images_digest = BigIntegerField(null=True)

    class Meta:
        table_name = "indexed_listings"
        indexes = (
            (("idle_count", "detail_due_at", "detail_cycle"), False),
            (("price", "price_currency", "taxonomy_id"), False),
        )


# Indexes of what waits alone stay small, and what is read leaves them for good.
UNREAD = "detail_cycle < last_seen_cycle AND detail_due_at IS NOT NULL"
IMAGES_MISSING = "images_missing = 1"
IndexedListing.add_index(
    IndexedListing.index(
        IndexedListing.last_seen_cycle,
        IndexedListing.known,
        IndexedListing.detail_due_at,
        where=SQL(UNREAD),
        name="indexed_listings_unread",
    )
)
IndexedListing.add_index(
    IndexedListing.index(
        IndexedListing.images_missing,
        IndexedListing.listing_id,
        where=SQL(IMAGES_MISSING),
        name="indexed_listings_images_missing",
    )
)


class IndexedShop(Model):
    """What the crawler knows about asking for a shop and its reviews.

    `detail_due_at`, `detail_cycle`: as of a listing; `gone` 1 where the API no longer knows it. `watermark` is
    the newest review stored by a finished visit (Unix seconds, NULL before the first); the three `visited_*`
    values are the shop's figures at that visit: while they stay, nothing new is there to read. `review_due` is
    1 where a visit is due now, `review_cycle` the cycle of the last visit or try. `told_at` is when the server told
    the shop's latest figures, by its own clock (Unix seconds, NULL where it did not say); `visited_known` how many of
    its reviews were in the data set at the end of the last visit; `seen_listing_id` a listing of the shop that a search
    showed in the cycle `seen_cycle`.
    """

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
    told_at = BigIntegerField(null=True)
    visited_known = BigIntegerField(null=True)
    seen_listing_id = BigIntegerField(null=True)

    class Meta:
        table_name = "indexed_shops"
        indexes = ((("visited_at",), False),)


UNREAD_SHOP, REVIEW_DUE = "detail_cycle < seen_cycle", "review_due = 1"
IndexedShop.add_index(
    IndexedShop.index(
        IndexedShop.seen_cycle, IndexedShop.detail_due_at, where=SQL(UNREAD_SHOP), name="indexed_shops_unread"
    )
)
IndexedShop.add_index(
    IndexedShop.index(
        IndexedShop.review_due, IndexedShop.shop_id, where=SQL(REVIEW_DUE), name="indexed_shops_review_due"
    )
)


class FailedItem(Model):
    """One thing that could not be read, with its last error; gone again once it was read."""

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
    """External calls added up per service, endpoint and minute; for watching quotas."""

    id = AutoField()
    service = TextField(index=True)
    endpoint = TextField(null=True)
    request_count = CountField(1)
    rate_limit_remaining = IntegerField(null=True)
    rate_limit_reset_at = TimestampField(null=True)
    recorded_at = TimestampField(index=True, constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "api_usage"
        indexes = ((("service", "recorded_at"), False),)

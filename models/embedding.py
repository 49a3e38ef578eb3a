"""Embeddings: which row of the vector files is of which image, and what was committed."""

from __future__ import annotations

from peewee import BigIntegerField, IntegerField, Model, TextField


class VectorRow(Model):
    """Row N of every vector file is of this listing and image."""

    row = BigIntegerField(primary_key=True)
    listing_id = BigIntegerField()
    image_id = BigIntegerField()

    class Meta:
        table_name = "vector_rows"
        indexes = ((("listing_id", "image_id"), True),)


class VectorFileState(Model):
    """How many rows of a vector file count, and the make (vector_makes) of all of them."""

    file = TextField(primary_key=True)
    make_id = TextField()
    rows = BigIntegerField()

    class Meta:
        table_name = "vector_files"


class VectorBatch(Model):
    """Rows that were committed together, in these files.

    `batch_id` is the name that no other batch has: who brings it again brings nothing new. `checksums` is JSON: the
    CRC-32 of the batch's rows by file.
    """

    batch_id = TextField(primary_key=True)
    first_row = BigIntegerField()
    number = IntegerField()
    checksums = TextField()
    worker = TextField()
    committed_at = TextField()

    class Meta:
        table_name = "vector_batches"


class VectorMake(Model):
    """What vectors were made with: model, SHA-256 of its weights, preprocessing and back end."""

    make_id = TextField(primary_key=True)
    model = TextField()
    weights = TextField()
    preprocessing = TextField()
    back_end = TextField()
    first_used_at = TextField()

    class Meta:
        table_name = "vector_makes"

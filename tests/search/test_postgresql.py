"""Embedding with the database on a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

from peewee import fn

from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, VectorFileState, VectorRow
from runtime.database import open_database
from tests.postgresql import own_server
from tests.search.home import embed_home, fill
from tests.search.small import SMALL


def test_every_picture_gets_its_row_and_a_model_made_anew_catches_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with own_server() as address:
        fill(home, 8, address)
        embed_home(home, DATABASE_URL=address)
        assert " 0 images embedded" not in embed_home(home, renew=["dinov2_base"], DATABASE_URL=address)
        database = open_database(address, home, CRAWLER_MODELS, MIGRATIONS)
        number = ImageStatus.select().count()
        assert VectorRow.select(fn.MAX(VectorRow.row)).scalar() == number - 1
        assert {state.rows for state in VectorFileState.select()} == {number}
        assert ImageStatus.select().where(ImageStatus.embed_dinov2_base == 1).count() == number
        database.close()
    bodies = {path.parent.name: path.stat().st_size for path in home.glob("data/embeddings/store/*/*.f16")}
    assert bodies["dinov2_base"] == number * 2 * SMALL["dinov2_base"].dim
    assert len(bodies) == 7

"""The image search as its user runs it: `python run.py models`, `embed`, `index`, `search`, in processes of their own.

The models are the real architectures with random weights, so what is found means nothing; that it is found does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from imaging.layout import Layout
from search.background import background_path
from search.embedders.table import MODELS
from tests.search.home import ROOT, copy_of, crawled
from tests.search.models.checkpoints import save_checkpoint
from tests.search.models.test_background import save_network
from tests.web.browsing import pieces_in, token_in
from tests.web.serving import serving

CHOSEN = ("clip_vitb32", "dinov2_base", "dinov3_base")
LISTINGS, THIN = 4, 2


@dataclass(frozen=True)
class Owner:
    """Somebody who runs commands on a home."""

    home: Path

    def run(self, *words: str, status: int = 0, **settings: str) -> str:
        environment = {**os.environ, "CRAWLER_HOME": str(self.home), "EMBED_MODELS": ",".join(CHOSEN), **settings}
        done = subprocess.run(
            [sys.executable, ROOT / "run.py", *words], env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    def image(self) -> Path:
        """Return one of the pictures as downloaded."""
        return min(Layout(self.home / "images").downloaded.root.rglob("*.jpg"))


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    home = copy_of(crawled(LISTINGS), tmp_path_factory.mktemp("run") / "home")
    folder = home / "data/models"
    save_network(background_path("u2net", folder))
    for name in CHOSEN:
        save_checkpoint(MODELS[name], folder / name, None if MODELS[name].family == "open_clip" else THIN)
    yield Owner(home)


def test_the_way_from_downloaded_pictures_to_a_search(owner: Owner) -> None:
    assert "clip_vitb32" in owner.run("models")
    said = owner.run("embed")
    assert "images embedded" in said
    assert "is in force" in said
    names = {path.name for path in (owner.home / "data/embeddings").glob("*.faiss")}
    assert names == {"clip_vitb32.faiss", "clip_vitb32_text.faiss", "dinov2_base.faiss", "dinov3_base.faiss"}
    index = json.loads((owner.home / "data/embeddings/image_index.json").read_text())
    found = json.loads(owner.run("search", str(owner.image()), "--json", "--top", "4"))
    own = next(listing_id for listing_id, image_id in index if str(image_id) == owner.image().stem)
    assert found[0]["listing_id"] == own  # the same picture again: its own vectors are the nearest, whatever they mean
    assert len(json.loads(owner.run("search", "a walnut chair", "--json"))) == LISTINGS
    assert ", 0 images embedded" in owner.run("embed")
    assert "recall@10" in owner.run("status")


def test_the_page_finds_pieces_by_a_picture_and_by_words(owner: Owner) -> None:
    owner.run("embed")
    index = json.loads((owner.home / "data/embeddings/image_index.json").read_text())
    own = next(listing_id for listing_id, image_id in index if str(image_id) == owner.image().stem)
    with serving(owner.home, EMBED_MODELS=",".join(CHOSEN)) as address, requests.Session() as browser:
        browser.trust_env = False
        token = token_in(browser.get(address + "search").text)
        files = {"picture": owner.image().read_bytes()}
        shown = browser.post(address + "search", data={"token": token}, files=files)
        assert look_again(browser, shown.url)[0] == own
        assert len(look_again(browser, address + "search?q=a+walnut+chair")) == LISTINGS


def look_again(browser: requests.Session, address: str) -> list[int]:
    """Return the listings of a result, once the models are done."""
    for _ in range(240):
        text = browser.get(address).text
        if "data-again" not in text:
            return pieces_in(text)
    raise AssertionError(text)


def test_a_model_without_weights_is_said_with_where_they_come_from(owner: Owner) -> None:
    said = owner.run("embed", status=2, EMBED_MODELS="clip_vitb32,dinov2_large", CRAWLER_HOME=str(owner.home))
    assert "dinov2_large" in said
    assert "models --fetch" in said


def test_a_model_that_is_not_in_the_table_is_named(owner: Owner) -> None:
    assert "there is no such model" in owner.run("embed", status=2, EMBED_MODELS="clip_vitb33")

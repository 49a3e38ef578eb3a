"""`python run.py models` says what is on this machine, and one model's trouble does not hide the others."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from rich.console import Console

from runtime.errors import UserMistake
from runtime.settings import Settings
from search.background import BACKGROUNDS, background_path
from search.embedders.loading import build_loader
from search.embedders.table import TABLE
from search.embedders.weights import Places
from search.model_commands import models
from tests.search.models.checkpoints import Shelf

WIDE = 400


def run(home: Path, *, fetch: bool = False, export: bool = False, **given: Any) -> tuple[int, str]:
    """Return the exit status and what is shown."""
    told: dict[str, Any] = {"hub_folder": home / "hub", "embed_back_end": "torch"} | given
    shown = io.StringIO()
    console = Console(file=shown, width=WIDE, markup=False, emoji=False)
    status = models(Settings(crawler_home=home, **told), console, fetch, export)
    return status, shown.getvalue()


def line_of(shown: str, name: str) -> str:
    return next(line for line in shown.splitlines() if f" {name} " in line)


def test_without_any_weights_every_model_is_missing_with_source_and_licence(tmp_path: Path) -> None:
    status, shown = run(tmp_path)
    assert status == 0
    for model in TABLE:
        line = line_of(shown, model.name)
        assert " missing " in line
        assert all(told in line for told in (*model.sources, model.licence, str(model.dim)))
    assert BACKGROUNDS["u2net"].licence in line_of(shown, "background u2net")
    assert f"looked for in {tmp_path / 'data' / 'models'}" in shown
    assert "This machine: " in shown


def test_a_model_that_is_there_shows_where_from_and_the_make_of_its_vectors(shelf: Shelf, tmp_path: Path) -> None:
    make = shelf.load("dinov2_base").make
    folder = tmp_path / "data" / "models"
    folder.mkdir(parents=True)
    (folder / "dinov2_base").symlink_to(shelf.folder("dinov2_base"))
    _, shown = run(tmp_path, embed_models=("dinov2_base", "clip_vitb32"))
    line = line_of(shown, "dinov2_base")
    assert all(told in line for told in (" folder ", make.weights[:12], make.id))
    assert " missing " in line_of(shown, "clip_vitb32")
    assert "dinov3_base" not in shown


def test_the_background_model_is_there_once_its_file_is(tmp_path: Path) -> None:
    path = background_path("isnet-general-use", tmp_path / "mine")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"numbers")
    _, shown = run(tmp_path, models_folder=tmp_path / "mine", background_model="isnet-general-use")
    assert " folder " in line_of(shown, "background isnet-general-use")


def test_trouble_with_one_model_is_told_below_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "models" / "clip_vitb32"
    folder.mkdir(parents=True)
    (folder / "a.pt").write_bytes(b"1")
    (folder / "b.pt").write_bytes(b"2")
    status, shown = run(tmp_path)
    assert status == 2
    assert "several checkpoints" in shown
    assert line_of(shown, "dinov3_base")


@pytest.mark.usefixtures("no_network")
def test_fetching_without_a_network_names_each_model_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    status, shown = run(tmp_path, fetch=True)
    assert status == 2
    for model in TABLE:
        assert f"Downloading {model.name} from {model.hub} (licence: {model.licence})." in shown
        assert f"{model.hub} cannot be downloaded" in shown
    assert "The background model u2net cannot be downloaded" in shown
    assert not background_path("u2net", tmp_path / "data" / "models").exists()


def test_an_export_is_made_once_and_loads(tmp_path: Path) -> None:
    thin = Shelf(tmp_path / "data", layers=1)
    thin.make("dinov3_base")
    given: dict[str, Any] = {"embed_models": ("dinov3_base",), "embed_back_end": "onnx"}
    status, shown = run(tmp_path, export=True, **given)
    assert (status, "Exporting dinov3_base." in shown) == (0, True)
    make = build_loader(Places(tmp_path / "data" / "models"), "onnx")("dinov3_base").make
    assert make.id in line_of(shown, "dinov3_base")
    assert "Exporting" not in run(tmp_path, export=True, **given)[1]
    shutil.rmtree(tmp_path / "data")


def test_an_export_of_missing_weights_says_so(tmp_path: Path) -> None:
    status, shown = run(tmp_path, export=True, embed_models=("dinov2_large",))
    assert status == 2
    assert "The weights of dinov2_large are neither in" in shown


def test_a_model_that_is_not_in_the_table_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="resnet"):
        run(tmp_path, embed_models=("resnet",))


def test_a_background_model_that_is_not_in_the_table_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no background model sam"):
        run(tmp_path, background_model="sam")

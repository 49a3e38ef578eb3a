"""A checkpoint is found where it may lie, known by its hash, and its lack is a sentence with what to do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from runtime.errors import OperatorNeeded
from search.catalogue import Model
from search.embedders.hashes import NAME, hash_of
from search.embedders.table import MODELS, TABLE
from search.embedders.weights import CACHE, FOLDER, Places, fetch_weights, find_weights, get_weights

CLIP, DINO, GATED = MODELS["clip_vitb32"], MODELS["dinov2_base"], MODELS["dinov3_base"]
REVISION = "0" * 40


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "models", tmp_path / "hub")


def write(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name.replace("__", ".")).write_bytes(body)
    return folder


def in_cache(hub: Path, repository: str, **files: bytes) -> Path:
    """Write files as the hub's library keeps a download."""
    below = hub / f"models--{repository.replace('/', '--')}"
    write(below / "refs", main=REVISION.encode())
    return write(below / "snapshots" / REVISION, **files)


def test_the_table_holds_the_five_models_of_the_contract() -> None:
    assert {model.name: (model.dim, model.family, model.has_text) for model in TABLE} == {
        "clip_vitb32": (512, "open_clip", True),
        "clip_vitl14": (768, "open_clip", True),
        "dinov2_base": (768, "transformers", False),
        "dinov2_large": (1024, "transformers", False),
        "dinov3_base": (768, "transformers", False),
    }


@pytest.mark.parametrize(
    "name", ["open_clip_model__safetensors", "open_clip_pytorch_model__bin", "any__pt", "my__safetensors"]
)
def test_clips_checkpoint_is_any_one_file_of_its_folder(places: Places, name: str) -> None:
    write(places.models_folder / CLIP.name, README__md=b"read me", **{name: b"numbers"})
    found = get_weights(CLIP, places)
    assert found.file.name == name.replace("__", ".")
    assert (found.sha256, found.origin) == (hashlib.sha256(b"numbers").hexdigest(), FOLDER)


def test_of_several_files_that_could_be_meant_none_is_taken(places: Places) -> None:
    write(places.models_folder / CLIP.name, a__pt=b"1", b__pt=b"2")
    with pytest.raises(OperatorNeeded, match=r"several checkpoints: a\.pt, b\.pt"):
        find_weights(CLIP, places)


def test_a_transformers_checkpoint_needs_its_config(places: Places) -> None:
    folder = write(places.models_folder / DINO.name, model__safetensors=b"numbers")
    assert find_weights(DINO, places) is None
    write(folder, config__json=b"{}")
    assert get_weights(DINO, places).file == folder / "model.safetensors"


@pytest.mark.parametrize("below", ["", "hub"], ids=["the cache itself", "the folder above it"])
def test_a_checkpoint_in_the_hubs_cache_is_found(places: Places, below: str) -> None:
    assert places.hub_folder is not None
    in_cache(places.hub_folder / below, DINO.hub, model__safetensors=b"numbers", config__json=b"{}")
    found = get_weights(DINO, places)
    assert (found.origin, found.sha256) == (CACHE, hashlib.sha256(b"numbers").hexdigest())


def test_the_folder_wins_over_the_cache(places: Places) -> None:
    assert places.hub_folder is not None
    in_cache(places.hub_folder, CLIP.hub, open_clip_model__safetensors=b"cached")
    write(places.models_folder / CLIP.name, open_clip_model__safetensors=b"mine")
    assert get_weights(CLIP, places).sha256 == hashlib.sha256(b"mine").hexdigest()


@pytest.mark.parametrize("model", TABLE, ids=lambda model: model.name)
def test_missing_weights_are_a_sentence_with_all_that_one_needs(places: Places, model: Model) -> None:
    assert find_weights(model, places) is None
    with pytest.raises(OperatorNeeded) as caught:
        get_weights(model, places)
    words = caught.value.words()
    for told in (str(places.models_folder / model.name), model.hub, model.licence, "run.py models --fetch"):
        assert told in words
    assert all(source in words for source in model.sources)


def test_the_gated_model_names_both_of_its_sources() -> None:
    assert [source.split("/")[3] for source in GATED.sources] == ["facebook", "timm"]


def test_a_hash_is_computed_once_for_a_file_that_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"numbers")
    wanted = hash_of(file, tmp_path)
    held = json.loads((tmp_path / NAME).read_text())
    held[str(file)] = held[str(file)].replace(wanted, "remembered")
    (tmp_path / NAME).write_text(json.dumps(held))
    assert (wanted, hash_of(file, tmp_path)) == (hashlib.sha256(b"numbers").hexdigest(), "remembered")


def test_a_changed_file_is_hashed_anew(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"numbers")
    hash_of(file, tmp_path)
    file.write_bytes(b"other numbers")
    assert hash_of(file, tmp_path) == hashlib.sha256(b"other numbers").hexdigest()


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": 1}'])
def test_a_damaged_memory_of_hashes_costs_time_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"numbers")
    (tmp_path / NAME).write_text(text.replace('"a"', json.dumps(str(file))))
    assert hash_of(file, tmp_path) == hashlib.sha256(b"numbers").hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on this machine that serves DINOv2's two files, and DINOv3's to nobody."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if GATED.hub in self.path:
                self.send_response(403)
                self.send_header("X-Error-Code", "GatedRepo")
                self.end_headers()
                return
            self.send_response(200 if DINO.hub in self.path else 404)
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", '"etag"')
            self.send_header("Content-Length", str(len(self.path)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template[template.index("/{") :]
    )
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_a_download_puts_the_checkpoint_into_the_models_folder(places: Places) -> None:
    found = fetch_weights(DINO, places)
    assert found.file == places.models_folder / DINO.name / "model.safetensors"
    assert DINO.hub in found.file.read_text()
    assert found.file.with_name("config.json").is_file()
    assert get_weights(DINO, places) == found


@pytest.mark.usefixtures("hub")
def test_a_gated_model_says_how_one_is_let_in(places: Places) -> None:
    with pytest.raises(OperatorNeeded, match="whom its owner has let in") as caught:
        fetch_weights(GATED, places)
    assert GATED.sources[0] in caught.value.words()
    assert find_weights(GATED, places) is None


@pytest.mark.usefixtures("hub")
def test_a_repository_that_is_not_there_is_a_sentence(places: Places) -> None:
    with pytest.raises(OperatorNeeded, match="cannot be downloaded"):
        fetch_weights(CLIP, places)


def test_a_download_without_a_network_is_a_sentence(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OperatorNeeded, match="cannot be downloaded") as caught:
        fetch_weights(DINO, places)
    assert DINO.hub in caught.value.words()
    assert str(places.models_folder / DINO.name) in caught.value.words()
    assert find_weights(DINO, places) is None

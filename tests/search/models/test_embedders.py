"""The real loading code on the real architectures: checkpoints with random weights in the libraries' own formats."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from runtime.errors import OperatorNeeded, UserMistake
from search.catalogue import Model, Preprocessing, Vectors
from search.embedders.device import AUTO, Machine, probe
from search.embedders.export import export
from search.embedders.exported import NOTE, PICTURE, export_folder
from search.embedders.loading import build_loader, load_onnx, load_torch
from search.embedders.preprocess import prepare
from search.embedders.table import HALVES, MODELS
from search.embedders.tokens import load_tokenizer
from search.embedders.weights import Places
from tests.search.models.checkpoints import Shelf, open_clip, save_checkpoint
from tests.search.models.pictures import photograph

PICTURES = [photograph(300, 220, 1), photograph(200, 333, 2), photograph(640, 480, 3)]
TEXTS = ["mid century teak sideboard", "lamp", "Fauteuil en rotin &amp; bois – années 60 " + "très " * 90]
ROOT = Path(__file__).parents[3]
FULL = ("cpu", "fp32")
SHIPSHAPE = Machine("a test's", 64 * 2**30, {"torch": "2.13.0", "transformers": "5.23.0", "open_clip_torch": "3.3.0"})
INTEL_MAC = Machine("an Intel Mac", 16 * 2**30, {"torch": "2.2.2", "onnxruntime": "1.23.2"})


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """pytest's own, but not kept: here it holds gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def cosines(one: Vectors, other: Vectors) -> Vectors:
    found: Vectors = (one * other).sum(axis=1)
    return found


def are_unit(vectors: Vectors, rows: int, dim: int) -> bool:
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors.shape == (rows, dim) and vectors.dtype == np.float32 and bool(np.allclose(lengths, 1, atol=1e-5))


@pytest.mark.parametrize("name", ["clip_vitb32", "dinov2_base", "dinov3_base"])
def test_a_checkpoint_is_loaded_and_half_weights_keep_its_directions(shelf: Shelf, name: str) -> None:
    model = shelf.make(name)
    full = shelf.load(name)
    found = full.embed_pictures(PICTURES)
    assert are_unit(found, 3, model.dim)
    half = load_torch(model, shelf.places, "cpu", "bf16")
    assert cosines(half.embed_pictures(PICTURES), found).min() > 0.999
    assert half.make == full.make
    if model.has_text:
        words = full.embed_texts(TEXTS)
        assert are_unit(words, 3, model.dim)
        assert cosines(half.embed_texts(TEXTS), words).min() > 0.999


@pytest.mark.parametrize("name", ["clip_vitl14", "dinov2_large"])
def test_the_large_models_load_too(tmp_path: Path, name: str) -> None:
    model, places = MODELS[name], Places(tmp_path / "models", tmp_path / "hub")
    save_checkpoint(model, places.models_folder / name)
    embedder = load_torch(model, places, "cpu", "bf16")
    assert are_unit(embedder.embed_pictures(PICTURES[:1]), 1, model.dim)
    if model.has_text:
        assert are_unit(embedder.embed_texts(TEXTS[:1]), 1, model.dim)


def test_a_dino_model_refuses_words(shelf: Shelf) -> None:
    with pytest.raises(UserMistake, match="pictures alone"):
        shelf.load("dinov2_base").embed_texts(TEXTS)


def test_dinos_vector_is_its_class_token(shelf: Shelf) -> None:
    model = shelf.make("dinov3_base")
    embedder = shelf.load(model.name)
    net = transformers.DINOv3ViTModel.from_pretrained(shelf.folder("dinov3_base")).eval()
    with torch.inference_mode():
        given = torch.from_numpy(prepare(PICTURES[:1], model.preprocessing))
        token = net(pixel_values=given).last_hidden_state[0, 0].numpy()
    assert np.allclose(embedder.embed_pictures(PICTURES[:1])[0], token / np.linalg.norm(token), atol=1e-6)


def test_clips_vectors_are_those_of_open_clips_own_way(shelf: Shelf) -> None:
    model = shelf.make("clip_vitb32")
    file = str(shelf.folder("clip_vitb32") / "open_clip_model.safetensors")
    net, _, own = open_clip.create_model_and_transforms("ViT-B-32", pretrained=file)
    with torch.inference_mode():
        picture = net.eval().encode_image(own(PICTURES[0])[None], normalize=True).numpy()
        text = net.encode_text(open_clip.get_tokenizer("ViT-B-32")(TEXTS[:1]), normalize=True).numpy()
    embedder = shelf.load(model.name)
    assert np.allclose(embedder.embed_pictures(PICTURES[:1]), picture, atol=1e-6)
    assert np.allclose(embedder.embed_texts(TEXTS[:1]), text, atol=1e-6)


def test_a_pytorch_file_loads_as_a_safetensors_file_does(shelf: Shelf, tmp_path: Path) -> None:
    model = shelf.make("clip_vitb32")
    places = Places(tmp_path / "models", tmp_path / "hub")
    (places.models_folder / model.name).mkdir(parents=True)
    state = load_file(shelf.folder("clip_vitb32") / "open_clip_model.safetensors")
    torch.save(state, places.models_folder / model.name / "open_clip_pytorch_model.bin")
    wanted = shelf.load(model.name).embed_pictures(PICTURES[:1])
    assert np.array_equal(load_torch(model, places, *FULL).embed_pictures(PICTURES[:1]), wanted)


def test_many_pictures_are_embedded_as_each_alone(shelf: Shelf) -> None:
    embedder = shelf.load("clip_vitb32")
    many = [photograph(240, 240, seed) for seed in range(19)]  # more than go through at once
    alone = np.concatenate([embedder.embed_pictures([many[0]]), embedder.embed_pictures([many[18]])])
    assert np.allclose(embedder.embed_pictures(many)[[0, 18]], alone, atol=1e-5)
    assert embedder.embed_pictures([]).shape == (0, 512)


def test_a_sixth_model_is_one_entry_of_the_table(tmp_path: Path) -> None:
    siglip = Model(
        name="siglip_b16",
        dim=768,
        family="open_clip",
        architecture="ViT-B-16-SigLIP",
        hub="timm/ViT-B-16-SigLIP",
        licence="Apache-2.0",
        sources=("https://huggingface.co/timm/ViT-B-16-SigLIP",),
        preprocessing=Preprocessing(224, 224, "bicubic", *HALVES, squash=True),
    )
    places = Places(tmp_path / "models", tmp_path / "hub")
    save_checkpoint(siglip, places.models_folder / siglip.name)
    loader = build_loader(places, "torch", "cpu", {siglip.name: siglip})
    assert are_unit(loader("siglip_b16").embed_pictures(PICTURES[:1]), 1, 768)


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A shelf with models of two layers: an export takes as long as it has layers."""
    made = Shelf(tmp_path_factory.mktemp("thin"), layers=2)
    yield made
    shutil.rmtree(made.places.models_folder)


def exported(thin: Shelf, name: str) -> Model:
    """Return the model of the table, its export on the shelf."""
    model = thin.make(name)
    if not export_folder(model, thin.places).is_dir():
        export(model, thin.places)
    return model


@pytest.mark.parametrize("name", ["clip_vitb32", "dinov2_base", "dinov3_base"])
def test_an_export_gives_the_vectors_of_torch_without_torch(thin: Shelf, name: str) -> None:
    model = exported(thin, name)
    by_torch = thin.load(name)
    by_onnx = load_onnx(model, thin.places)
    assert np.abs(by_onnx.embed_pictures(PICTURES) - by_torch.embed_pictures(PICTURES)).max() < 1e-4
    assert by_onnx.embed_pictures(PICTURES[:1]).shape == (1, model.dim)
    assert by_onnx.make == replace(by_torch.make, back_end="onnx")
    if model.has_text:
        assert np.abs(by_onnx.embed_texts(TEXTS) - by_torch.embed_texts(TEXTS)).max() < 1e-4
    else:
        with pytest.raises(UserMistake, match="pictures alone"):
            by_onnx.embed_texts(TEXTS)


ALONE = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "transformers", "open_clip", "onnx"), None))
from pathlib import Path
from search.embedders.golden import golden_vectors
from search.embedders.loading import load_onnx
from search.embedders.table import MODELS
from search.embedders.weights import Places
from dataclasses import replace
model = replace(MODELS["clip_vitb32"], architecture=sys.argv[2])
found = golden_vectors(load_onnx(model, Places(Path(sys.argv[1]))), has_text=True)
print({kind: rows.shape for kind, rows in found.items()})
"""


def test_an_export_runs_where_none_of_the_models_libraries_is_installed(thin: Shelf) -> None:
    model = exported(thin, "clip_vitb32")
    given = [sys.executable, "-c", ALONE, str(thin.places.models_folder), model.architecture]
    done = subprocess.run(given, capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("{'pictures': (16, 512), 'texts': (8, 512)}", "")


def test_an_export_of_other_weights_is_refused(thin: Shelf) -> None:
    model = exported(thin, "dinov2_base")
    note = export_folder(model, thin.places) / NOTE
    told = note.read_text()
    note.write_text(json.dumps(json.loads(told) | {"weights": "0" * 64}))
    with pytest.raises(OperatorNeeded, match="other weights than those of dinov2_base"):
        load_onnx(model, thin.places)
    note.write_text(told)


@pytest.mark.parametrize("told", ["", "{}", "[]", '{"weights": 1}'])
def test_a_damaged_note_of_an_export_is_a_sentence(thin: Shelf, told: str) -> None:
    model = exported(thin, "dinov2_base")
    note = export_folder(model, thin.places) / NOTE
    whole = note.read_text()
    note.write_text(told)
    with pytest.raises(OperatorNeeded, match=r"made_from\.json is damaged"):
        load_onnx(model, thin.places)
    note.write_text(whole)


def test_an_export_that_was_changed_is_refused(thin: Shelf) -> None:
    model = exported(thin, "dinov2_base")
    file = export_folder(model, thin.places) / PICTURE
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(OperatorNeeded, match=r"picture\.onnx is missing, or not what was exported"):
        load_onnx(model, thin.places)
    file.write_bytes(whole)


def test_an_export_works_without_the_checkpoint(thin: Shelf, tmp_path: Path) -> None:
    model = exported(thin, "dinov2_base")
    places = Places(tmp_path / "models", tmp_path / "hub")
    folder = export_folder(model, places)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(export_folder(model, thin.places))
    loader = build_loader(places, AUTO, machine=INTEL_MAC)
    assert loader("dinov2_base").make.back_end == "onnx"


def test_what_was_not_exported_says_where_it_is_to_lie(tmp_path: Path) -> None:
    with pytest.raises(OperatorNeeded, match=r"has not been exported to .*clip_vitl14/onnx.*") as caught:
        build_loader(Places(tmp_path), AUTO, machine=INTEL_MAC)("clip_vitl14")
    assert "models --export" in caught.value.words()


def damage(kind: str, shelf: Shelf, name: str, folder: Path) -> None:
    """Write into the folder what is no checkpoint of the model, in one of several ways."""
    other = {"clip_vitb32": "open_clip_model.safetensors"}.get(name, "model.safetensors")
    whole = (shelf.folder(name) / other).read_bytes()
    if name != "clip_vitb32":
        (folder / "config.json").write_text((shelf.folder(name) / "config.json").read_text())
    if kind == "truncated":
        (folder / other).write_bytes(whole[: len(whole) // 2])
    elif kind == "noise":
        (folder / other).write_bytes(np.random.default_rng(1).bytes(4096))
    elif kind == "empty":
        (folder / other).write_bytes(b"")
    else:
        state = load_file(shelf.folder(name) / other)
        state.pop(sorted(key for key in state if key.endswith("weight"))[-1])
        save_file(state, folder / other, {"format": "pt"})


@pytest.mark.parametrize("kind", ["truncated", "noise", "empty", "a tensor short"])
@pytest.mark.parametrize("name", ["clip_vitb32", "dinov3_base"])
def test_a_wrong_checkpoint_is_a_sentence(shelf: Shelf, tmp_path: Path, name: str, kind: str) -> None:
    model, places = shelf.make(name), Places(tmp_path / "models", tmp_path / "hub")
    folder = places.models_folder / name
    folder.mkdir(parents=True)
    damage(kind, shelf, name, folder)
    with pytest.raises(OperatorNeeded, match=f"is no checkpoint of {name}") as caught:
        load_torch(model, places, *FULL)
    assert str(folder) in caught.value.words()
    assert len(caught.value.words()) < 700
    assert "\n" not in caught.value.words()


@pytest.mark.parametrize(("put", "place"), [("dinov2_base", "dinov2_large"), ("dinov2_base", "dinov3_base")])
def test_a_checkpoint_in_anothers_place_is_a_sentence(shelf: Shelf, tmp_path: Path, put: str, place: str) -> None:
    shelf.make(put)
    (tmp_path / place).symlink_to(shelf.folder(put))
    with pytest.raises(
        OperatorNeeded, match=f"is no checkpoint of {place} .*: config.json tells of dinov2 of width 768"
    ):
        load_torch(MODELS[place], Places(tmp_path, tmp_path), *FULL)


def test_a_clip_checkpoint_in_anothers_place_is_a_sentence(shelf: Shelf, tmp_path: Path) -> None:
    shelf.make("clip_vitb32")
    (tmp_path / "clip_vitl14").symlink_to(shelf.folder("clip_vitb32"))
    with pytest.raises(OperatorNeeded, match="is no checkpoint of clip_vitl14"):
        load_torch(MODELS["clip_vitl14"], Places(tmp_path, tmp_path), *FULL)


def test_a_file_with_code_in_it_is_refused_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "clip_vitb32"
    folder.mkdir()
    torch.save({"state_dict": Path("run me")}, folder / "model.pt")
    with pytest.raises(OperatorNeeded, match="is no checkpoint of clip_vitb32"):
        load_torch(MODELS["clip_vitb32"], Places(tmp_path, tmp_path), *FULL)


def test_a_model_of_another_dimension_than_the_table_says_is_refused(thin: Shelf) -> None:
    model = replace(thin.make("clip_vitb32"), dim=768)
    with pytest.raises(OperatorNeeded, match=r"vectors of shape \(1, 512\) where \(1, 768\)"):
        load_torch(model, thin.places, *FULL).embed_pictures(PICTURES[:1])


def test_our_tokens_are_open_clips() -> None:
    vocabulary = Path(str(open_clip.__file__)).with_name("bpe_simple_vocab_16e6.txt.gz")
    signs = np.random.default_rng(1)
    alphabet = list("abcdeilnorstABC0123 '-&;,.éüñß日本\U0001fa91_</>\n\x00")
    texts = ["", " ", *TEXTS, "<end_of_text> x", "don't we'll", "ÃœberTisch", "a" * 400, "aaa aaaa aaaaa"]
    texts += ["".join(signs.choice(alphabet, size)) for size in signs.integers(1, 150, 400)]
    own = open_clip.get_tokenizer("ViT-B-32")(texts).numpy()
    assert np.array_equal(load_tokenizer(vocabulary, 77)(texts), own)


def test_models_stay_in_memory_where_there_is_enough(shelf: Shelf) -> None:
    shelf.make("clip_vitb32")
    shelf.make("dinov2_base")
    loader = build_loader(shelf.places, machine=SHIPSHAPE)
    first = loader("clip_vitb32")
    loader("dinov2_base")
    assert loader("clip_vitb32") is first


def test_one_model_at_a_time_is_held_where_memory_is_short(shelf: Shelf) -> None:
    shelf.make("clip_vitb32")
    shelf.make("dinov2_base")
    loader = build_loader(shelf.places, machine=replace(SHIPSHAPE, memory_bytes=8 * 2**30))
    gone = weakref.ref(loader("clip_vitb32"))
    loader("dinov2_base")
    assert gone() is None


@pytest.mark.parametrize(
    ("given", "machine", "sentence"),
    [
        ({"back_end": "tensorflow"}, SHIPSHAPE, "no back end tensorflow"),
        ({"device": "cuda"}, SHIPSHAPE, "no device cuda"),
        ({"precision": "int8"}, SHIPSHAPE, "no precision int8"),
        ({"back_end": "onnx"}, SHIPSHAPE, "cannot run with the back end onnx"),
        ({"back_end": "torch"}, INTEL_MAC, "cannot run with the back end torch"),
        ({}, Machine("a bare one", 0, {}), "cannot run with the back end auto"),
    ],
)
def test_what_a_machine_cannot_do_is_a_sentence(
    given: dict[str, Any], machine: Machine, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises((UserMistake, OperatorNeeded), match=sentence):
        build_loader(Places(tmp_path), machine=machine, **given)


def test_a_model_that_is_not_in_the_table_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no model resnet"):
        build_loader(Places(tmp_path), machine=SHIPSHAPE)("resnet")


def test_the_probe_tells_what_this_machine_does() -> None:
    machine = probe()
    assert machine.back_end == "torch"
    assert machine.memory_bytes > 2**30
    assert machine.device() in machine.words()
    assert machine.precision("cpu") == ("bf16" if machine.has_bf16 else "fp32")
    assert machine.precision("cuda") == "fp16"


def test_an_old_torch_leaves_the_exported_models() -> None:
    assert INTEL_MAC.back_end == "onnx"
    assert "torch 2.2.2 is too old" in INTEL_MAC.words()

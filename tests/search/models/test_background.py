"""A piece is cut out and stands on white; where nothing sensible would be left, the picture stays as it was.

The network is a small one that the tests make: what is red is the piece.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image, ImageDraw

from runtime.errors import ItemTrouble, OperatorNeeded, UserMistake
from search.background import Remover, as_jpeg, background_path, build_remover, has_plain_border
from tests.search.models.pictures import as_png, photograph

GREY, RED, WHITE = (120, 130, 125), (250, 10, 10), (255, 255, 255)
SIZE = (400, 300)
BOX = (120, 90, 279, 209)


def save_network(path: Path, scale: float = 8.0, offset: float = -6.0, sure: float = 1.0) -> None:
    """Write a network like u2net's outside: sure x sigmoid(scale * (red - green) + offset) of prepared colours."""
    numbers = {"scale": scale, "offset": offset, "sure": sure}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in numbers.items()]
    cuts = {"zero": [0], "one": [1], "two": [2], "axis": [1]}
    constants += [helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in cuts.items()]
    nodes = [
        helper.make_node("Slice", ["given", "zero", "one", "axis"], ["red"]),
        helper.make_node("Slice", ["given", "one", "two", "axis"], ["green"]),
        helper.make_node("Sub", ["red", "green"], ["redder"]),
        helper.make_node("Mul", ["redder", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["shifted"]),
        helper.make_node("Sigmoid", ["shifted"], ["share"]),
        helper.make_node("Mul", ["share", "sure"], ["mask"]),
    ]
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, [1, 3, 320, 320])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 320, 320])
    graph = helper.make_graph(nodes, "tests", [given], [mask], constants)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


@pytest.fixture(scope="module")
def remover(tmp_path_factory: pytest.TempPathFactory) -> Remover:
    folder = tmp_path_factory.mktemp("models")
    save_network(background_path("u2net", folder))
    return build_remover("u2net", folder)


def scene(
    ground: tuple[int, int, int], box: tuple[int, int, int, int] | None, colour: tuple[int, int, int] = RED
) -> bytes:
    picture = Image.new("RGB", SIZE, ground)
    if box:
        ImageDraw.Draw(picture).rectangle(box, fill=colour)
    return as_png(picture)


def read(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        picture.load()
        return picture


def near(picture: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.array(picture.getpixel(at)) - colour).max() <= 6)


def test_the_piece_stands_on_white(remover: Remover) -> None:
    cut = remover.remove(scene(GREY, BOX))
    picture = read(cut.body)
    assert picture.size == SIZE
    assert near(picture, (200, 150), RED)
    assert all(near(picture, at, WHITE) for at in [(5, 5), (395, 295), (100, 150), (200, 70)])
    assert not cut.kept_original
    assert cut.share == pytest.approx(160 * 120 / (400 * 300), abs=0.01)


WORSE = {
    "no piece": None,
    "a speck": (200, 150, 210, 155),
    "nearly all of it": (1, 1, 398, 298),
    "all of it": (0, 0, 399, 299),
}


@pytest.mark.parametrize("box", WORSE.values(), ids=WORSE)
def test_where_nothing_sensible_is_left_the_picture_stays(
    remover: Remover, box: tuple[int, int, int, int] | None
) -> None:
    body = scene(GREY, box)
    cut = remover.remove(body)
    assert cut.kept_original
    with Image.open(io.BytesIO(body)) as original:
        assert np.abs(np.asarray(read(cut.body), int) - np.asarray(original.convert("RGB"), int)).mean() < 2


def test_a_piece_that_reaches_all_four_borders_stays(remover: Remover) -> None:
    picture = Image.new("RGB", SIZE, GREY)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((180, 0, 220, 299), fill=RED)
    draw.rectangle((0, 130, 399, 170), fill=RED)
    assert remover.remove(as_png(picture)).kept_original


def test_an_unsure_network_is_not_believed_though_its_mask_is_stretched(tmp_path: Path) -> None:
    save_network(background_path("u2net", tmp_path), sure=0.2)
    assert build_remover("u2net", tmp_path).remove(scene(GREY, BOX)).kept_original


def test_a_network_of_odds_is_sure_from_zero_on(tmp_path: Path) -> None:
    save_network(background_path("birefnet-general-lite", tmp_path))
    path = background_path("birefnet-general-lite", tmp_path)
    network = onnx.load(path)
    for dimension in (*network.graph.input[0].type.tensor_type.shape.dim[2:],):
        dimension.dim_value = 1024
    for dimension in (*network.graph.output[0].type.tensor_type.shape.dim[2:],):
        dimension.dim_value = 1024
    onnx.save(network, path)
    assert not build_remover("birefnet-general-lite", tmp_path).remove(scene(GREY, BOX)).kept_original


def test_a_studio_picture_is_whitened_without_the_network(remover: Remover) -> None:
    cut = remover.remove(scene((246, 247, 245), BOX, (10, 90, 200)))  # blue: the network would see nothing
    picture = read(cut.body)
    assert not cut.kept_original
    assert near(picture, (200, 150), (10, 90, 200))
    assert picture.getpixel((10, 10)) == WHITE


def test_white_inside_a_piece_is_not_background(remover: Remover) -> None:
    picture = Image.new("RGB", SIZE, WHITE)
    draw = ImageDraw.Draw(picture)
    draw.rectangle(BOX, fill=(60, 40, 20))
    draw.rectangle((160, 120, 240, 180), fill=(245, 244, 243))
    cut = remover.remove(as_png(picture))
    assert near(read(cut.body), (200, 150), (245, 244, 243))
    assert cut.share == pytest.approx(160 * 120 / (400 * 300), abs=0.01)


def test_an_empty_studio_stays_as_it_was(remover: Remover) -> None:
    assert remover.remove(scene(WHITE, None)).kept_original


@pytest.mark.parametrize(("ground", "is_plain"), [(WHITE, True), ((242, 242, 242), True), ((225, 225, 225), False)])
def test_only_a_nearly_white_border_is_plain(ground: tuple[int, int, int], is_plain: bool) -> None:
    assert has_plain_border(Image.new("RGB", (300, 200), ground)) is is_plain
    assert not has_plain_border(photograph())


def test_the_same_bytes_give_the_same_bytes(remover: Remover) -> None:
    body = as_png(photograph())
    assert remover.remove(body) == remover.remove(body)
    assert as_jpeg(photograph()) == as_jpeg(photograph())


def test_a_transparent_picture_is_cut_on_white(remover: Remover) -> None:
    picture = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle(BOX, fill=(*RED, 255))
    cut = remover.remove(as_png(picture))
    assert near(read(cut.body), (5, 5), WHITE)
    assert near(read(cut.body), (200, 150), RED)


def test_what_is_no_picture_is_refused(remover: Remover) -> None:
    with pytest.raises(ItemTrouble, match="no picture"):
        remover.remove(b"<html>")


def test_the_name_tells_library_network_and_file(remover: Remover, tmp_path: Path) -> None:
    save_network(background_path("u2net", tmp_path), scale=9.0)
    other = build_remover("u2net", tmp_path)
    assert remover.name.startswith("rembg 2.")
    assert " u2net " in remover.name
    assert other.name != remover.name


@pytest.mark.usefixtures("no_network")
def test_a_missing_network_is_a_sentence_and_no_download(tmp_path: Path) -> None:
    with pytest.raises(OperatorNeeded, match=r"u2net\.onnx") as caught:
        build_remover("u2net", tmp_path)
    assert "models --fetch" in caught.value.words()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_network_is_a_sentence(tmp_path: Path) -> None:
    path = background_path("u2net", tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"not a network")
    with pytest.raises(OperatorNeeded, match="is no background model"):
        build_remover("u2net", tmp_path)


def test_an_unknown_network_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no background model sam"):
        build_remover("sam", tmp_path)

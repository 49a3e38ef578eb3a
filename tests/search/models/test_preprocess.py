"""Preparation is what the models' own libraries do, to the bit where they use Pillow too."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from runtime.errors import ItemTrouble
from search.embedders.preprocess import open_picture, prepare, preprocessing_name
from search.embedders.table import MODELS, TABLE
from tests.search.models.checkpoints import open_clip
from tests.search.models.pictures import as_png, photograph

SIZES = [(300, 220), (219, 640), (224, 224), (257, 333), (61, 47), (1140, 911), (30, 199), (225, 226)]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["clip_vitb32", "clip_vitl14"])
def test_a_clip_picture_is_open_clips_own_to_the_bit(name: str, size: tuple[int, int]) -> None:
    how, picture = MODELS[name].preprocessing, photograph(*size)
    own = open_clip.image_transform(how.crop, is_train=False, mean=how.mean, std=how.std)
    assert np.array_equal(prepare([picture], how)[0], own(picture).numpy())


@pytest.mark.parametrize("size", SIZES)
def test_a_dinov2_picture_is_the_processors_own_to_the_bit(size: tuple[int, int]) -> None:
    own = transformers.BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3, **IMAGENET
    )
    picture = photograph(*size)
    for name in ("dinov2_base", "dinov2_large"):
        mine = prepare([picture], MODELS[name].preprocessing)
        assert np.array_equal(mine, own(picture, return_tensors="np")["pixel_values"])


@pytest.mark.parametrize("size", SIZES)
def test_a_dinov3_picture_is_the_processors_own_within_a_ten_thousandth(size: tuple[int, int]) -> None:
    own = transformers.DINOv3ViTImageProcessor(size={"height": 224, "width": 224}, resample=2, **IMAGENET)
    picture = photograph(*size)
    mine = prepare([picture], MODELS["dinov3_base"].preprocessing)
    assert np.abs(mine - own(picture, return_tensors="pt")["pixel_values"].numpy()).max() < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_a_dinov3_picture_is_torchs_antialiased_resize_of_its_numbers(size: tuple[int, int]) -> None:
    how, picture = MODELS["dinov3_base"].preprocessing, photograph(*size)
    numbers = torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(numbers, (224, 224), mode="bilinear", antialias=True)
    wanted = (resized - torch.tensor(how.mean).view(3, 1, 1)) / torch.tensor(how.std).view(3, 1, 1)
    assert np.abs(prepare([picture], how) - wanted.numpy()).max() < 1e-4


def test_pictures_of_many_sizes_make_one_batch_in_their_order() -> None:
    pictures = [photograph(*size) for size in SIZES]
    how = MODELS["clip_vitb32"].preprocessing
    batch = prepare(pictures, how)
    assert batch.shape == (len(SIZES), 3, 224, 224)
    assert batch.dtype == np.float32
    for row, picture in zip(batch, pictures, strict=True):
        assert np.array_equal(row, prepare([picture], how)[0])


def test_no_pictures_make_an_empty_batch() -> None:
    assert prepare([], MODELS["dinov2_base"].preprocessing).shape == (0, 3, 224, 224)


def test_different_preparations_have_different_names() -> None:
    assert len({preprocessing_name(model.preprocessing) for model in TABLE}) == 4  # DINOv2's two share theirs


def test_what_is_transparent_is_white() -> None:
    picture = Image.new("RGBA", (40, 30), (200, 0, 0, 0))
    picture.paste((0, 0, 250, 255), (10, 10, 20, 20))
    opened = open_picture(as_png(picture))
    assert opened.mode == "RGB"
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((15, 15)) == (0, 0, 250)


def test_a_palettes_transparent_colour_is_white() -> None:
    picture = Image.new("P", (40, 30), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (10, 10, 20, 20))
    body = io.BytesIO()
    picture.save(body, "GIF", transparency=0)
    opened = open_picture(body.getvalue())
    assert (opened.getpixel((0, 0)), opened.getpixel((15, 15))) == ((255, 255, 255), (200, 100, 50))


def test_a_picture_is_turned_as_its_camera_says() -> None:
    body, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # held by its right side
    photograph(300, 220).save(body, "JPEG", exif=exif)
    assert open_picture(body.getvalue()).size == (220, 300)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "CMYK", "I;16", "P"])
def test_every_kind_of_colours_becomes_rgb(mode: str) -> None:
    picture = Image.new(mode, (40, 30)) if mode == "I;16" else photograph(40, 30).convert(mode)
    body = io.BytesIO()
    picture.save(body, "JPEG" if mode == "CMYK" else "PNG")
    assert open_picture(body.getvalue()).mode == "RGB"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>no</html>", as_png(photograph())[:2000], b"\x89PNG\r\n\x1a\n" + b"\0" * 400, bytes(20_000_001)],
    ids=["empty", "page", "cut off", "hollow", "huge"],
)
def test_what_is_no_picture_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(ItemTrouble, match="picture"):
        open_picture(body)


@pytest.mark.parametrize("size", [(8000, 7000), (3000, 20)], ids=["bomb", "strip"])
def test_a_picture_that_would_fill_the_memory_is_refused_unread(size: tuple[int, int]) -> None:
    with pytest.raises(ItemTrouble, match=f"{size[0]} x {size[1]} pixels"):
        open_picture(as_png(Image.new("1", size)))

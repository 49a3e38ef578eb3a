"""The CDN: finds the picture that an address means, draws it, and keeps the latest.

A piece is a handful of boxes turned about its upright axis and seen from a little above, so that the
pictures of one listing are one piece from several sides, and pieces with like traits look alike.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections import OrderedDict
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter

from sandbox.answer import Answer, answer_bytes
from sandbox.fields import MASK, mixed
from sandbox.furniture import Box, boxes_of
from sandbox.market import Market
from sandbox.picture_faults import PLACEHOLDER
from sandbox.render import FIRST_PICTURE_ID, MAX_PICTURES, PICTURE_STEP, Picture
from sandbox.settings import SandboxSettings
from sandbox.stamps import Drawing, cut
from sandbox.words import COLOURS, Piece
from sandbox.world import Listing

ADDRESS = re.compile(
    r"(?:/\d+/(?:r|d|c/\d+/\d+/\d+/\d+))?/il/(?P<hex>[0-9a-f]{6})/(?P<id>\d{1,18})"
    r"/il_(?P<size>75x75|170x135|570xN|fullxfull)\.(?P=id)_(?P<suffix>[0-9a-z]{4})\.jpg"
)
WIDTHS = {"75x75": 75, "170x135": 170, "570xN": 570, "fullxfull": 1140}
HEIGHTS = (430, 500, 570, 640)
KEPT_BYTES = 64 << 20
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
ODD_FORMATS = ("PNG", "GIF", "WEBP")
NOT_FOUND = answer_bytes(b"Not Found", 404, "text/plain")
FATE, CHANCES = 0xFA7E, 1 << 24
LIGHT = {"top": 1.18, "front": 0.92, "side": 0.72}
Colour = tuple[int, int, int]
Point = tuple[float, float]


class Address(NamedTuple):
    """What the address of a picture says, whether or not there is such a picture."""

    image_id: int
    hex: str
    suffix: str
    size: str


class Shot(NamedTuple):
    """One picture of a listing at one of the CDN's sizes."""

    picture: Picture
    size: str
    listing: Listing


def read_address(path: str) -> Address | None:
    """Read an address without its host and query; None where it is no picture's."""
    match = ADDRESS.fullmatch(path)
    return None if match is None else Address(int(match["id"]), match["hex"], match["suffix"], match["size"])


class Gallery:
    """Serves pictures by their addresses; the latest drawn are kept in memory."""

    def __init__(self, settings: SandboxSettings, market: Market) -> None:
        self._settings = settings
        self._market = market
        self._salt = mixed(settings.seed & MASK ^ FATE)
        self._kept: OrderedDict[tuple[int, str], Answer] = OrderedDict()
        self._kept_bytes = 0
        self._drawings: dict[tuple[int, str, str], Drawing] = {}
        self._lock = threading.Lock()

    def show(self, address: Address | None) -> Answer:
        """Return the picture, 404 where there is none, or what a dead picture gives."""
        shot = None if address is None else self._find(address)
        if shot is None:
            return NOT_FOUND
        code = mixed(self._salt ^ shot.picture.picture_id)
        dead, odd = code % CHANCES / CHANCES, (code >> 24) % CHANCES / CHANCES
        if dead < self._settings.dead_pictures / 2:
            return NOT_FOUND
        if dead < self._settings.dead_pictures:
            return _picture_answer(PLACEHOLDER, "PNG", code)
        form = ODD_FORMATS[(code >> 48) % len(ODD_FORMATS)] if odd < self._settings.odd_formats else "JPEG"
        if self._settings.distinct_pictures is None:
            return self._drawn(shot, form, code)
        return _picture_answer(self._stamped(shot, form, self._settings.distinct_pictures), form, code)

    def _find(self, address: Address) -> Shot | None:
        place, left = divmod(address.image_id - FIRST_PICTURE_ID, PICTURE_STEP)
        number, rank = divmod(place, MAX_PICTURES)
        found = None if left else self._market.picture_at(number, rank + 1)
        if found is None or (found[1].hex, found[1].suffix) != (address.hex, address.suffix):
            return None
        listing, picture = found
        return Shot(picture, address.size, listing)

    def _drawn(self, shot: Shot, form: str, code: int) -> Answer:
        """Return the picture from those that are kept, or draw it and keep it."""
        key = (shot.picture.picture_id, shot.size)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        answer = _picture_answer(self._draw(shot, form), form, code)
        self._keep(key, answer)
        return answer

    def _keep(self, key: tuple[int, str], answer: Answer) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = answer
                self._kept_bytes += len(answer.body)
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1].body)

    def _stamped(self, shot: Shot, form: str, distinct: int) -> bytes:
        """Return one of the few drawings, made different to the byte by a comment in the file."""
        # Drawing is what costs: a benchmark of a downloader takes few drawings under many addresses.
        picture_id = shot.picture.picture_id
        which = picture_id // PICTURE_STEP % distinct
        key = (which, shot.size, form)
        drawing = self._drawings.get(key)
        if drawing is None:
            number, rank = divmod(which, MAX_PICTURES)
            listing = self._market.numbered[number % self._settings.listings]
            # The same shot whoever asks first, so that the same settings serve the same bytes.
            first = Shot(self._market.render.picture(listing.number, rank + 1), shot.size, listing)
            drawing = self._drawings.setdefault(key, cut(form, self._draw(first, form)))
        return drawing.stamped(picture_id)

    def _draw(self, shot: Shot, form: str) -> bytes:
        piece = self._market.render.piece(shot.listing)
        return _encode(draw(shot, piece, f"{self._settings.seed}"), form)


def _picture_answer(body: bytes, form: str, code: int) -> Answer:
    # The tag follows from the picture's number and the length: to hash the body would cost more than to send it.
    return Answer(200, {"content-type": FORMATS[form], "etag": f'"{code:016x}{len(body):024x}"'}, body)


def _encode(image: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    image.save(out, form, quality=82)
    return out.getvalue()


def draw(shot: Shot, piece: Piece, seed: str) -> Image.Image:
    """Draw a piece at the shot's width; rank 1 shows it half from the front, each next from further round."""
    rng = Random(f"{seed}:{shot.picture.picture_id}")
    width, height = WIDTHS["570xN"], rng.choice(HEIGHTS)
    image = _room(rng, width, height)
    angle = math.radians(28 + 41 * (shot.picture.rank - 1) + rng.uniform(-8, 8))
    _draw_boxes(image, boxes_of(piece, Random(f"{seed}:{shot.picture.number}")), piece, angle)
    image = _grained(image, rng, 36 if piece.material in ("wood", "rattan") else 24)
    target = WIDTHS[shot.size]
    if target == width:
        return image
    return image.resize((target, max(1, height * target // width)))


def _room(rng: Random, width: int, height: int) -> Image.Image:
    wall = tuple(rng.randint(196, 240) for _ in range(3))
    floor = tuple(int(part * 0.82) for part in wall)
    image = Image.new("RGB", (width, height), wall)
    ImageDraw.Draw(image).rectangle((0, int(height * 0.72), width, height), fill=floor)
    return image


def _draw_boxes(image: Image.Image, boxes: list[Box], piece: Piece, angle: float) -> None:
    canvas = ImageDraw.Draw(image)
    base = COLOURS[piece.colour]
    scale, centre = 0.62 * min(image.size), (image.width / 2, image.height * 0.80)

    def seen(x: float, y: float, z: float) -> Point:
        across = x * math.cos(angle) - y * math.sin(angle)
        deep = x * math.sin(angle) + y * math.cos(angle)
        nearness = 1 + 0.18 * deep
        return centre[0] + across * scale * nearness, centre[1] - (z - 0.30 * deep) * scale * nearness

    # The painter's way: what lies further off is drawn first, and the lower before the higher.
    def distance(box: Box) -> tuple[float, float]:
        middle_x, middle_y = box.x + box.width / 2, box.y + box.depth / 2
        return middle_x * math.sin(angle) + middle_y * math.cos(angle), box.z

    shadow = [seen(x, y, 0) for x, y in ((-0.6, -0.5), (0.6, -0.5), (0.6, 0.5), (-0.6, 0.5))]
    canvas.polygon(shadow, fill=_shade(image.getpixel((2, image.height - 2)), 0.93))
    for box in sorted(boxes, key=distance):
        for face, corners in box.faces(angle):
            tone = _shade(base, LIGHT[face] * box.tone)
            canvas.polygon([seen(*corner) for corner in corners], fill=tone, outline=_shade(tone, 0.8))


def _shade(colour: object, light: float) -> Colour:
    assert isinstance(colour, tuple)
    red, green, blue = (min(255, int(part * light)) for part in colour[:3])
    return red, green, blue


def _grained(image: Image.Image, rng: Random, strength: int) -> Image.Image:
    fine = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    coarse = Image.frombytes("L", (20, 120), rng.randbytes(20 * 120)).resize(image.size)
    noise = Image.blend(fine, coarse, 0.5).filter(ImageFilter.BoxBlur(0.6)).convert("RGB")
    return Image.blend(image, noise, strength / 255)

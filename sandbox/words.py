"""What sellers and buyers write: titles, descriptions, tags and reviews in several languages.

Everything here is plain text as its writer meant it; the API layer escapes it for HTML as Etsy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Piece(NamedTuple):
    """What one piece of furniture is: the same traits name it, describe it and draw it."""

    kind: str
    colour: str
    material: str
    style: str


COLOURS: dict[str, tuple[int, int, int]] = {
    "walnut": (94, 62, 40),
    "oak": (178, 137, 88),
    "cherry": (132, 64, 42),
    "ebony": (48, 42, 40),
    "white": (226, 222, 214),
    "sage": (138, 154, 122),
    "navy": (44, 58, 92),
    "mustard": (196, 152, 48),
    "terracotta": (180, 96, 66),
    "grey": (128, 128, 130),
    "blush": (212, 164, 156),
    "emerald": (32, 104, 80),
}
COLOUR_NAMES = tuple(COLOURS)
WOODEN = ("walnut", "oak", "cherry", "ebony", "white")
MATERIALS = ("wood", "wood", "wood", "wood", "metal", "fabric", "leather", "rattan")
SOFT_KINDS = frozenset({"sofa", "pouf", "headboard"})
STYLES = (
    "Mid Century",
    "Rustic",
    "Farmhouse",
    "Boho",
    "Scandinavian",
    "Industrial",
    "Art Deco",
    "Moroccan",
    "Japandi",
    "Victorian",
    "Brutalist",
    "Shaker",
)

NOUNS: dict[str, dict[str, str]] = {
    "en": {
        "bed": "Bed Frame",
        "headboard": "Headboard",
        "dresser": "Dresser",
        "nightstand": "Nightstand",
        "stool": "Stool",
        "desk": "Desk",
        "table": "Table",
        "chair": "Chair",
        "cabinet": "Cabinet",
        "bench": "Bench",
        "rack": "Coat Rack",
        "pouf": "Pouf",
        "trunk": "Trunk",
        "shelf": "Bookshelf",
        "sofa": "Sofa",
        "divider": "Room Divider",
        "lamp": "Lamp",
    },
    "de": {
        "bed": "Bett",
        "table": "Tisch",
        "chair": "Stuhl",
        "shelf": "Bücherregal",
        "sofa": "Sofa",
        "desk": "Schreibtisch",
    },
    "fr": {
        "bed": "Lit",
        "table": "Table",
        "chair": "Chaise",
        "shelf": "Bibliothèque",
        "sofa": "Canapé",
        "desk": "Bureau",
    },
    "es": {
        "bed": "Cama",
        "table": "Mesa",
        "chair": "Silla",
        "shelf": "Estantería",
        "sofa": "Sofá",
        "desk": "Escritorio",
    },
    "it": {
        "bed": "Letto",
        "table": "Tavolo",
        "chair": "Sedia",
        "shelf": "Libreria",
        "sofa": "Divano",
        "desk": "Scrivania",
    },
    "ja": {
        "bed": "ベッド",
        "table": "テーブル",
        "chair": "椅子",
        "shelf": "本棚",
        "sofa": "ソファ",
        "desk": "机",
    },
    "ar": {
        "bed": "سرير",
        "table": "طاولة",
        "chair": "كرسي",
        "shelf": "رف كتب",
        "sofa": "أريكة",
        "desk": "مكتب",
    },
    "pl": {
        "bed": "Łóżko",
        "table": "Stół",
        "chair": "Krzesło",
        "shelf": "Regał",
        "sofa": "Kanapa",
        "desk": "Biurko",
    },
}

EXTRAS = (
    'Tall 54" Headboard',
    "Father's Day Gift",
    "Solid Wood & Brass",
    "Set of 2",
    "Hand‑Carved, One of a Kind",
    "Free Shipping ✨",
    "🪑 Ready to Ship",
    "Custom Size <any>",
    "Table & Chairs",
    "אגוז מלא",
    "無垢材",
    "Élégant – Récupéré",
    "Tom & Jerry's Workshop &amp; Co.",
    '24" x 18" x 30"',
    "Reclaimed Barn Wood",
    "Gift for Mom",
    "Ürün №7 ½",
    "👩‍🎨 Signed by the Artist",
    "Small Space Living",
    "Vintage Patina",
)
EXTRA_STEPS = (1, 3, 7, 9)
EXTRA_COUNTS = (0, 1, 1, 1, 2, 2, 3, 3)
MIN_BODY, MAX_BODY, BODY_STEP = 200, 2850, 250
REWORDINGS = ("", "SALE – ", "NEW: ", "Reduced! ", "Last one – ")

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "Every piece is made by hand in our workshop, so grain and tone differ a little from the photos.",
        "It's finished with three coats of natural oil and wax.",
        "📌 Features:\n•\tSolid joints, no screws\n•\tFelt pads under the feet\n•\tNo assembly needed",
        'Dimensions: 30" wide x 16" deep x 34" high (approx.).',
        "Please measure your doorways & stairs before you order!",
        "Ships from our studio in two well‑padded boxes; someone must be at home to sign.",
        "Questions? Don't hesitate to write us – we answer within a day.",
        "Old nail holes, scratches and worn edges are part of its story.",
        "Care: dust with a dry cloth, keep away from radiators, re‑oil once a year.",
        "We plant a tree for every order. 🌳",
        "Custom sizes, stains and legs are possible: tell us what you have in mind.",
        "Local pickup is welcome.\n\n * Cash or card\n * Bring a blanket & a friend\n",
        "The fabric is OEKO‑TEX® certified and the covers can be washed at 30 °C.",
        'Returns are accepted within 14 days if it arrives damaged; see our policies for the "small print".',
    ),
    "de": (
        "Jedes Stück wird in unserer kleinen Werkstatt von Hand gefertigt.",
        "Maße: 80 × 40 × 75 cm (ca.), Gewicht etwa 18 kg.",
        "Die Oberfläche ist dreifach geölt & gewachst.",
        "Versand per Spedition „frei Bordsteinkante“, bitte Türbreiten prüfen!",
        "Gebrauchsspuren gehören zum Charme alter Möbel.",
        "Sonderanfertigungen sind möglich – schreiben Sie uns.",
    ),
    "fr": (
        "Chaque pièce est fabriquée à la main dans notre atelier.",
        "L'huile naturelle protège le bois & révèle son veinage.",
        "Dimensions : 120 × 60 × 75 cm environ.",
        "Livraison soignée, à deux personnes, sur rendez‑vous.",
        "N'hésitez pas à nous écrire pour une demande sur mesure.",
        "Quelques traces d'usage font le charme de l'ancien.",
    ),
    "es": (
        "Hecho a mano en nuestro taller con madera maciza.",
        "¿Necesitas otra medida? ¡Escríbenos sin compromiso!",
        "Acabado con aceite natural & cera de abeja.",
        "Medidas aproximadas: 90 × 45 × 78 cm.",
        "El envío se hace con embalaje reforzado.",
    ),
    "it": (
        "Ogni pezzo è realizzato a mano nel nostro laboratorio.",
        "L'essenza è noce massello, finita a olio.",
        "Misure: 100 × 50 × 76 cm circa.",
        "Spedizione assicurata in tutta Europa.",
    ),
    "ja": (
        "職人が一点ずつ手作りしています。",
        "天然オイル仕上げの無垢材を使用。木目は一つ一つ異なります。",
        "サイズ:幅80cm × 奥行40cm × 高さ75cm",
        "ご質問はお気軽にメッセージください。",
    ),
    "ar": (
        "قطعة مصنوعة يدويًا من الخشب الطبيعي في ورشتنا.",
        "الأبعاد: ‏80 × 40 × 75 سم تقريبًا.",
        "نقوش مغربية تقليدية & تشطيب بالزيت.",
        "لأي استفسار لا تترددوا في مراسلتنا.",
    ),
    "pl": (
        "Każdy mebel powstaje ręcznie w naszej małej pracowni.",
        "Wykończenie: olej naturalny & wosk.",
        "Wymiary: ok. 80 × 40 × 75 cm.",
        "Wysyłka kurierem, prosimy sprawdzić szerokość drzwi!",
    ),
}
JOINTS = (" ", " ", "\n", "\n\n", "\r\n")

TAGS = (
    "solid wood",
    "dad's gift",
    "home & living",
    "mid century modern",
    "boho decor",
    "small space",
    "farmhouse",
    "handmade furniture",
    "vintage",
    "rustic décor",
    "entryway",
    "bedroom",
    "living room",
    "japandi",
    "carved wood",
    "reading nook",
)
MATERIAL_TAGS: dict[str, tuple[str, ...]] = {
    "wood": ("solid wood", "walnut", "CEDAR WOOD", "oak"),
    "metal": ("steel", "brass", "wrought iron"),
    "fabric": ("boucle", "linen & cotton", "foam"),
    "leather": ("leather", "goat's leather"),
    "rattan": ("rattan", "cane", "bamboo"),
}

REVIEWS: dict[str, tuple[str, ...]] = {
    "en": (
        "Beautiful, thank you so much!!!",
        "It's even better than in the pictures.",
        "Arrived late & one leg was scratched, but the seller refunded part of it.",
        'The "oak" is darker than I thought.',
        "Perfect. I love it. 😍",
        "Solid, heavy, well packed.\nWould buy again.",
        "Not what I ordered <sigh>.",
        "",
        "Gorgeous craftsmanship; my husband's new favourite spot to read.",
        "ok",
    ),
    "de": ("Sehr schön gearbeitet, gerne wieder!", "Lieferung dauerte, Möbel ist top.", ""),
    "fr": ("Magnifique, conforme à l'annonce.", "Très belle pièce & envoi soigné."),
    "es": ("¡Precioso! Llegó antes de lo esperado.",),
    "ja": ("とても素敵です。ありがとうございました。",),
    "ar": ("قطعة رائعة، شكرًا جزيلاً!",),
    "it": ("Bellissimo, proprio come nella foto.",),
    "pl": ("Piękny mebel, polecam!",),
}

SHOP_FIRST = (
    "Oak",
    "River",
    "Moss",
    "Atlas",
    "Copper",
    "Linden",
    "Harbor",
    "Willow",
    "Nord",
    "Casa",
    "Atelier",
    "Old",
)
SHOP_LAST = (
    "Tree",
    "Works",
    "Studio",
    "Woodcraft",
    "Interiors",
    "Finds",
    "Joinery",
    "Antiques",
    "Bazaar",
    "Loft",
    "Möbel",
)


def pick(rng: Random, values: Sequence[T]) -> T:
    """Return one of the values, three times as fast as `Random.choice` does."""
    return values[int(rng.random() * len(values))]


def piece_of(code: int, kind: str) -> Piece:
    """Return the traits of a piece of a kind; `code` holds 64 bits of chance."""
    soft = kind in SOFT_KINDS and code & 3
    material = "fabric" if soft else MATERIALS[code >> 2 & 7]
    colours = WOODEN if material == "wood" else COLOUR_NAMES
    return Piece(kind, colours[(code >> 8) % len(colours)], material, STYLES[(code >> 24) % len(STYLES)])


@cache
def name_of(piece: Piece, language: str) -> str:
    """Return what a piece is called in a language."""
    noun = NOUNS.get(language, {}).get(piece.kind) or NOUNS["en"][piece.kind]
    return f"{piece.style} {piece.colour.title()} {piece.material.title()} {noun}"


def title_of(code: int, piece: Piece, language: str, revision: int) -> str:
    """Return a title of at most 140 characters; each revision words it anew. `code` is 64 bits of chance."""
    parts = [name_of(piece, language)]
    # The step and the number of extras have no common factor, so no extra comes twice.
    first, step = code % len(EXTRAS), EXTRA_STEPS[code >> 8 & 3]
    parts += [EXTRAS[(first + step * index) % len(EXTRAS)] for index in range(EXTRA_COUNTS[code >> 10 & 7])]
    title = REWORDINGS[revision % len(REWORDINGS)] + ", ".join(parts)
    if revision >= len(REWORDINGS):
        title = f"{title} #{revision}"
    return title[:140].rstrip()


class Body(NamedTuple):
    """What follows on a description's first line, and the places (rising) where it may end."""

    text: str
    ends: list[int]


def body_of(rng: Random, language: str) -> Body:
    """Compose up to 2850 characters in a language, which may end early after some of the sentences."""
    pool = SENTENCES.get(language, SENTENCES["en"])
    text, ends, next_end = "\n\n", [], MIN_BODY
    while len(text) < MAX_BODY - 300:
        text += pick(rng, pool)
        # Few ends apart from one another: each is put into JSON once, and a page needs a hundred.
        if len(text) >= next_end:
            ends.append(len(text))
            next_end = len(text) + BODY_STEP
        text += pick(rng, JOINTS)
    return Body(text, ends)


def body_end(code: int, body: Body) -> int:
    """Return where a description ends, mostly nearer to the lower end; `code` is bits of chance."""
    share = (code & 0xFFFF) / 0x10000
    return body.ends[int(len(body.ends) * share**3)]


def tags_of(rng: Random) -> list[str]:
    """Return up to 13 tags; most sellers give none."""
    return [] if rng.random() < 0.6 else rng.sample(TAGS, rng.randint(3, 13))


def materials_of(rng: Random, material: str) -> list[str]:
    """Return the materials a seller names; most name none."""
    known = MATERIAL_TAGS[material]
    return [] if rng.random() < 0.69 else list(known[: rng.randint(1, len(known))])


def review_of(rng: Random, language: str) -> str:
    """Return what one buyer wrote, which may be nothing."""
    return pick(rng, REVIEWS.get(language, REVIEWS["en"]))


def shop_name_of(rng: Random, number: int) -> str:
    """Return a shop name that no other shop of the market has."""
    return f"{rng.choice(SHOP_FIRST)}{rng.choice(SHOP_LAST)}{number}"


def escape_json(document: bytes) -> bytes:
    """Return a JSON document with its texts as Etsy's API sends them: five characters as HTML entities."""
    # Done on the bytes of a whole document, which is ten times as fast as on each text: of the five, only the
    # quote means something to JSON, and inside a text it is the one after a backslash, once no backslash is
    # escaped by another. `&` goes first, or the ampersands of the other entities would be escaped again.
    document = document.replace(b"\\\\", b"\\u005c").replace(b"&", b"&amp;").replace(b'\\"', b"&quot;")
    return document.replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b"'", b"&#39;")

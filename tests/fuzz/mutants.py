"""Real answers, and what becomes of them when things go wrong at random places."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

from sandbox import Sandbox, SandboxSettings
from tests.fuzz.odd import DEPTHS, NUMBERS, TEXTS, WORDS, Json, made, nested
from tests.rig import KEY, VirtualClock

EXAMPLES = Path(__file__).parents[3] / "shared" / "spec" / "examples"
KINDS = ("search", "batch", "listing", "images", "shop", "reviews", "taxonomy")
OF_EXAMPLE = {
    "findAllListingsActive": "search",
    "listings_real": "batch",
    "getListingsByListingIds": "batch",
    "getListing_": "listing",
    "getListingImages": "images",
    "getReviews": "reviews",
    "getSellerTaxonomyNodes": "taxonomy",
}
Places = list[tuple[Any, Any]]


@functools.cache
def answers() -> dict[str, tuple[bytes, ...]]:
    """Return answers of each kind as JSON: the sandbox's, and Etsy's own where the examples are there."""
    found: dict[str, list[bytes]] = {kind: [body] for kind, body in _sandbox_answers().items()}
    for path in sorted(EXAMPLES.glob("*.json")):
        kind = next((kind for sign, kind in OF_EXAMPLE.items() if path.name.startswith(sign)), None)
        if kind:
            found[kind].append(path.read_bytes())
    return {kind: tuple(bodies) for kind, bodies in found.items()}


def _sandbox_answers() -> dict[str, bytes]:
    sandbox = Sandbox(
        SandboxSettings(listings=24, shops=3, reviews_per_shop=12.0, calls_per_second=100), clock=VirtualClock()
    )

    def get(path: str, **params: str) -> bytes:
        answer = sandbox.handle("GET", f"/v3/application{path}", params, {"x-api-key": KEY})
        assert answer.status == 200, answer
        return answer.body

    search = get("/listings/active", limit="6", taxonomy_id="967")
    rows = orjson.loads(search)["results"]
    ids, shop_id = [str(row["listing_id"]) for row in rows], rows[0]["shop_id"]
    return {
        "search": search,
        "batch": get("/listings/batch", listing_ids=",".join(ids[:3]), includes="Images,Shop"),
        "listing": get(f"/listings/{ids[0]}", includes="Images,Shop"),
        "images": get(f"/listings/{ids[0]}/images"),
        "shop": get(f"/shops/{shop_id}"),
        "reviews": get(f"/shops/{shop_id}/reviews", limit="5"),
        "taxonomy": get("/buyer-taxonomy/nodes"),
    }


def places(payload: Any) -> Places:
    """Return every place in the JSON as its container and key."""
    found: Places = []
    waiting = [payload]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def mutated(payload: Any, seed: int, times: int) -> Any:
    """Return the JSON (which is changed) after so many mutations; the same seed gives the same ones."""
    rng = random.Random(seed)
    root = [payload]
    for _ in range(times):
        found = places(root)
        container, key = found[rng.randrange(len(found))]
        rng.choice(MUTATIONS)(rng, container, key, found)
        if not root:
            root = [None]
    return root[0]


def mutants(kind: str) -> st.SearchStrategy[Any]:
    """Return what makes mutated answers of one kind."""
    return made(_mutant, st.sampled_from(answers()[kind]), st.integers(0, 2**48), st.integers(1, 9))


def _mutant(body: bytes, seed: int, times: int) -> Json:
    return Json(mutated(orjson.loads(body), seed, times))


def broken(body: bytes, seed: int, times: int) -> bytes:
    """Return the bytes of a JSON text after so many mutations that know nothing of JSON."""
    rng = random.Random(seed)
    for _ in range(times):
        body = rng.choice(BREAKS)(rng, body)
    return body


def anything(rng: random.Random, depth: int = 4) -> Any:
    """Return any JSON, a good part of it with the keys that Etsy's has."""
    kind = rng.randrange(8) if depth else 7
    if kind < 2:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind < 4:
        return {rng.choice((*WORDS, *TEXTS)): anything(rng, depth - 1) for _ in range(rng.randrange(5))}
    return odd_value(rng)


def row_of(rng: random.Random) -> dict[str, Any]:
    """Return an object with keys that Etsy's have, and any values under them."""
    return {rng.choice(WORDS): anything(rng, 2) for _ in range(rng.randrange(12))}


def answer_of(rng: random.Random) -> Any:
    """Return what could be read as an answer, and anything else."""
    rows = [row_of(rng) if rng.randrange(4) else anything(rng) for _ in range(rng.randrange(5))]
    return rng.choice((anything(rng), rows, row_of(rng), {"count": odd_value(rng), "results": rows}))


def seeded(make: Callable[[random.Random], Any]) -> st.SearchStrategy[Json]:
    """Return what makes values by a seed: a hundred times as fast as Hypothesis draws them, and shown whole."""
    return made(lambda seed: Json(make(random.Random(seed))), st.integers(0, 2**48))


def odd_value(rng: random.Random) -> Any:
    """Return a value that nobody expects."""
    kind = rng.randrange(8)
    if kind == 0:
        return nested(rng.choice(TEXTS), rng.choice(DEPTHS), rng.choice(("", "results", "children")))
    if kind < 4:
        return rng.choice(NUMBERS)
    return rng.choice(TEXTS) if kind < 6 else _copy(rng.choice((None, True, False, [], {}, [[]], [None], {"": 1})))


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:
        return []


def _replace(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    container[key] = odd_value(rng)


def _null(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    container[key] = None


def _delete(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    del container[key]


def _double(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    if isinstance(container, list):
        container[key:key] = [_copy(container[key]) for _ in range(rng.choice((1, 2, 30)))]
    else:
        container[rng.choice(WORDS)] = container[key]


def _rename(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    if isinstance(container, dict):
        container[rng.choice((*WORDS, *TEXTS))] = container.pop(key)


def _move(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    """Put here what stands elsewhere: the id of another listing, the whole shop in the place of a title."""
    other, place = found[rng.randrange(len(found))]
    container[key] = _copy(other[place])


def _swap(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    other = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


def _nest(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    container[key] = nested(container[key], rng.choice((1, 1, 2, 600)), rng.choice(("", *WORDS)))


def _unnest(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    here = container[key]
    if isinstance(here, list | dict) and here:
        container[key] = next(iter(here.values())) if isinstance(here, dict) else here[0]


def _retype(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    here = container[key]
    if isinstance(here, str):
        container[key] = (
            int(here) if here.isdecimal() and len(here) < 100 else here.encode("utf-16-le", "replace").hex()
        )
    elif isinstance(here, int | float):
        container[key] = rng.choice((str(here)[:50], bool(here), [here], -here, {"value": here}))
    else:
        container[key] = str(here)[:200] if isinstance(here, type(None)) else list(here)


def _shorten(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    here = container[key]
    if isinstance(here, list | str):
        container[key] = here[: rng.randrange(len(here) + 1)]


def _shuffle(rng: random.Random, container: Any, key: Any, found: Places) -> None:
    if isinstance(container[key], list):
        rng.shuffle(container[key])


MUTATIONS: tuple[Callable[[random.Random, Any, Any, Places], None], ...] = (
    *(_replace, _replace, _null, _delete, _double, _rename, _move, _move, _swap, _nest, _unnest, _retype, _shorten),
    _shuffle,
)


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flip(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.choice((1, 3, 20)) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body) + 1)
    return body[:place] + rng.choice(PIECES) + body[place:]


def _again(rng: random.Random, body: bytes) -> bytes:
    return body[:200_000] * 2


def _encode(rng: random.Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(
        rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1", "utf-7")), "replace"
    )


PIECES = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\xbd",
        b'"',
        b"\\",
        b"\\ud83d",
        b"\\u0000",
        b",",
        b"]",
        b"}",
        b"{",
    ),
    *(b"[" * 300, b"[" * 1100, b"[" * 100_000, b'{"a":' * 700, b"9" * 400, b"9" * 5000, b"1e400", b"NaN", b"-Infinity"),
    *(b"<html>", b"\n", b"null", b"true", b"0", b"1.", b"-"),
)
BREAKS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_cut, _flip, _insert, _insert, _again, _encode)

"""Named faults and when they strike: each turns a good answer into what a bad day makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from sandbox.answer import Answer, answer_bytes, answer_error
from sandbox.picture_faults import ELSEWHERE, HTML, PICTURE_EFFECTS, Hit

SECONDS = {"timeout": 60.0, "slow": 2.0, "drip": 5.0}
"""How long the faults that take time take, unless a fault says otherwise."""
IDENTITIES = frozenset({"listing_id", "shop_id", "transaction_id", "listing_image_id"})
NULLABLE = frozenset(
    {"state_timestamp", "shop_section_id", "processing_min", "processing_max", "who_made", "when_made"}
    | {"is_supply", "item_weight", "item_weight_unit", "item_length", "item_width", "item_height"}
    | {"item_dimensions_unit", "language", "taxonomy_id", "shop", "images", "shipping_from_country_iso"}
    | {"shop_location_country_iso", "review_count", "review_average", "buyer_user_id", "hex_code", "alt_text"}
)
PICTURE = "picture"
"""The endpoint under which pictures of the CDN are known; only faults that name it strike there."""
JSON_ONLY = frozenset({"missing_keys", "nulls"})


class WrongFault(ValueError):
    """A fault that cannot be; its text says why in one sentence."""


@dataclass(frozen=True)
class Fault:
    """A fault and its schedule.

    Of the calls that fit (`endpoint` None: any API call; `match`: parameters that the call must have,
    where a listing_id also fits a batch that asks for it, and a picture's image_id is the one in its
    address), the first `after` are spared; then every `every`-th is struck with the chance `share`, at
    most `count` times (None: without end). `seconds` is how long a timeout, slow or drip takes, `to`
    where a redirect leads.
    """

    name: str
    endpoint: str | None = None
    count: int | None = None
    after: int = 0
    every: int = 1
    share: float = 1.0
    match: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    to: str = ELSEWHERE

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        names = EFFECTS.keys() | PICTURE_EFFECTS.keys()
        if self.name not in names:
            raise WrongFault(f"There is no fault {self.name!r}; there are {', '.join(sorted(names))}.")
        if self.name in PICTURE_EFFECTS and self.endpoint != PICTURE:
            raise WrongFault(f"The fault {self.name} strikes pictures only, so it needs endpoint={PICTURE}.")
        if self.name in JSON_ONLY and self.endpoint == PICTURE:
            raise WrongFault(f"The fault {self.name} needs JSON to strike, and a picture is none.")
        if self.every < 1 or self.after < 0 or not 0 <= self.share <= 1:
            raise WrongFault("A fault needs every >= 1, after >= 0 and share between 0 and 1.")

    @property
    def duration_seconds(self) -> float:
        """How long the fault takes."""
        return SECONDS.get(self.name, 0.0) if self.seconds is None else self.seconds

    def fits(self, endpoint: str, params: dict[str, str]) -> bool:
        """Tell whether the fault is meant for such a call."""
        if endpoint != self.endpoint and (self.endpoint is not None or endpoint == PICTURE):
            return False
        if self.name == "redirect_inside" and "redirected" in params:
            return False  # or it would lead round and round
        return all(_has(params, name, value) for name, value in self.match.items())


def _has(params: dict[str, str], name: str, value: str) -> bool:
    if params.get(name) == str(value):
        return True
    return name == "listing_id" and str(value) in params.get("listing_ids", "").split(",")


@dataclass
class _Armed:
    fault: Fault
    rng: Random
    seen: int = 0
    struck: int = 0

    def strikes(self) -> bool:
        self.seen += 1
        fault = self.fault
        if self.seen <= fault.after or (self.seen - fault.after - 1) % fault.every:
            return False
        if fault.count is not None and self.struck >= fault.count:
            return False
        if self.rng.random() >= fault.share:
            return False
        self.struck += 1
        return True


class Faults:
    """The faults that a sandbox is armed with."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._armed: list[_Armed] = []

    def add(self, fault: Fault) -> None:
        """Arm a fault; where several would strike at once, the one added first does."""
        self._armed.append(_Armed(fault, Random(f"{self._seed}:fault:{len(self._armed)}")))

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def struck(self) -> dict[str, int]:
        """Return how often each name has struck."""
        total: dict[str, int] = {}
        for armed in self._armed:
            total[armed.fault.name] = total.get(armed.fault.name, 0) + armed.struck
        return total

    def pick(self, endpoint: str, params: dict[str, str]) -> _Armed | None:
        """Return the fault that strikes this call, or None."""
        # Every fault that fits counts the call, also one that comes too late, so that schedules stay apart.
        hits = [armed for armed in self._armed if armed.fault.fits(endpoint, params) and armed.strikes()]
        return hits[0] if hits else None


def strike(armed: _Armed, answer: Answer, path: str = "") -> Answer:
    """Return what the fault makes of a good answer; of a picture, `path` is the address without the host."""
    name = armed.fault.name
    if name in PICTURE_EFFECTS:
        return PICTURE_EFFECTS[name](answer, Hit(path, armed.fault.to, armed.rng))
    return EFFECTS[name](answer, armed)


def _instead(made: Answer, **headers: str) -> Callable[[Answer, _Armed], Answer]:
    # The good answer's limit headers stay: Etsy's own gateway sends them with its errors too.
    def effect(answer: Answer, _: _Armed) -> Answer:
        return replace(made, headers={**answer.headers, **made.headers, **headers})

    return effect


def _wire(wire: str) -> Callable[[Answer, _Armed], Answer]:
    def effect(answer: Answer, armed: _Armed) -> Answer:
        return replace(answer, wire=wire, delay_seconds=answer.delay_seconds + armed.fault.duration_seconds)

    return effect


def _on_rows(change: Callable[[dict[str, Any], Random], None]) -> Callable[[Answer, _Armed], Answer]:
    def effect(answer: Answer, armed: _Armed) -> Answer:
        if answer.status != 200:
            return answer
        value = answer.json()
        for row in value.get("results", [value]):
            change(row, armed.rng)
        return replace(answer, body=orjson.dumps(value))

    return effect


def _drop_keys(row: dict[str, Any], rng: Random) -> None:
    droppable = [key for key in row if key not in IDENTITIES]
    for key in rng.sample(droppable, min(len(droppable), rng.randint(1, 3))):
        del row[key]


def _null_keys(row: dict[str, Any], rng: Random) -> None:
    present = [key for key in row if key in NULLABLE]
    for key in rng.sample(present, min(len(present), rng.randint(1, 4))):
        row[key] = None


def _zero(answer: Answer, _: _Armed) -> Answer:
    return replace(answer, status=200, body=b'{"count":0,"results":[]}')


def _poison(answer: Answer, _: _Armed) -> Answer:
    # The length is right, so only a reader of the JSON can notice.
    return replace(answer, body=answer.body[: len(answer.body) // 2] + b"\xff{")


def _bare(answer: Answer, _: _Armed) -> Answer:
    return replace(answer, headers={"content-type": answer.headers["content-type"]})


EFFECTS: dict[str, Callable[[Answer, _Armed], Answer]] = {
    "timeout": _wire("hang"),
    "reset": _wire("reset"),
    "cut_body": _wire("cut"),
    "slow": _wire("whole"),
    "drip": _wire("drip"),
    "html": _instead(answer_bytes(b"<html><body>Please wait</body></html>", 200, HTML)),
    "server_error": _instead(answer_error(500, "Server Error")),
    "bad_gateway": _instead(answer_bytes(b"<html><h1>502 Bad Gateway</h1></html>", 502, HTML)),
    "unavailable": _instead(answer_bytes(b"<html>busy</html>", 503, HTML)),
    "per_second_429": _instead(answer_error(429, "Exceeded per second rate limit"), **{"retry-after": "1"}),
    "daily_429": _instead(
        answer_error(429, "Exceeded daily rate limit"), **{"retry-after": "86400", "x-remaining-today": "0"}
    ),
    "dead_key": _instead(answer_error(403, "Invalid API key: should be in the format 'keystring:shared_secret'.")),
    "missing_keys": _on_rows(_drop_keys),
    "nulls": _on_rows(_null_keys),
    "zero_count": _zero,
    "poison": _poison,
    "bare_headers": _bare,
}


def parse_fault(text: str) -> Fault:
    """Read a fault as the command line has it: `NAME` or `NAME:key=value,key=value`.

    Keys are those of `Fault`; any other key is one to match, such as `shop_id=123`.
    """
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise WrongFault(f"In the fault {text!r}, {pair!r} is not of the form key=value.")
        given[key] = value
    return fault_from(name, given)


FIELDS: dict[str, Callable[[Any], Any]] = {
    "endpoint": str,
    "count": int,
    "after": int,
    "every": int,
    "share": float,
    "seconds": float,
    "to": str,
}


def fault_from(name: str, given: dict[str, Any]) -> Fault:
    """Build a fault from loose values; a key that is no field of it is a parameter to match."""
    known: dict[str, Any] = {}
    match = {str(key): str(value) for key, value in given.get("match", {}).items()}
    for key, value in given.items():
        if key in FIELDS:
            try:
                known[key] = FIELDS[key](value)
            except (TypeError, ValueError):
                raise WrongFault(f"The fault's {key} cannot be {value!r}.") from None
        elif key != "match":
            match[key] = str(value)
    return Fault(name, match=match, **known)

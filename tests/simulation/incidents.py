"""What happens to a crawl in months: the server's bad days, the computer's, and its owner's."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from runtime.clock import DAY_SECONDS
from sandbox import Fault
from sandbox.faults import EFFECTS
from sandbox.picture_faults import PICTURE_EFFECTS
from tests.simulation.world import World

HOUR = 3600.0
FAULTS = sorted(set(EFFECTS) - set(PICTURE_EFFECTS))
ENDPOINTS = ("findAllListingsActive", "getListingsByListingIds", "getReviewsByShop", "getBuyerTaxonomyNodes", None)
DAMAGE = ("", "{", "[]", '{"qps": -3}', '{"taxonomies": [{"id": 967, "price_breaks": [0, 9, 3]}]}', "null")
Incident = Callable[[World, Random], str]


def fault(world: World, chance: Random) -> str:
    """A few answers are bad, of one endpoint or of all."""
    name = chance.choice(FAULTS)
    endpoint = chance.choice(ENDPOINTS)
    world.sandbox.faults.add(Fault(name, endpoint=endpoint, count=chance.randint(1, 5), share=0.5))
    return f"{name} at {endpoint or 'any call'}"


def outage(world: World, chance: Random) -> str:
    """For some hundred calls nothing but errors comes."""
    name = chance.choice(("server_error", "unavailable", "timeout", "html", "reset"))
    calls = chance.randint(20, 120)
    world.sandbox.faults.add(Fault(name, count=calls))
    return f"{name} for {calls} calls"


def lid(world: World, chance: Random) -> str:
    """The computer sleeps for hours or days."""
    hours = chance.choice((0.1, 1, 9, 30, 80))
    world.clock.suspend(hours * HOUR)
    return f"asleep for {hours} hours"


def clock(world: World, chance: Random) -> str:
    """The computer's clock is set wrong, or right again."""
    if chance.random() < 0.5:
        world.set_clock_right()
        return "set right"
    seconds = chance.choice((-3 * DAY_SECONDS, -HOUR, -90.0, -1.0, 1.0, 90.0, HOUR, 3 * DAY_SECONDS))
    world.jump(seconds)
    return f"{seconds:+.0f} s"


def quota(world: World, chance: Random) -> str:
    """Etsy changes the key's limit for a day."""
    per_day = chance.choice((20, 60, 200, world.sandbox.settings.quota_per_day))
    world.set_quota(per_day)
    return f"{per_day} calls a day"


def rate(world: World, chance: Random) -> str:
    """The owner turns the calls a second down or up, or makes a mess of the file."""
    text = chance.choice(DAMAGE) if chance.random() < 0.3 else json.dumps({"qps": chance.choice((0.5, 1, 3, 5))})
    (world.rig.home.data / "qps_config.json").write_text(text, encoding="utf-8")
    return text


def breaks(world: World, chance: Random) -> str:
    """The owner edits the price intervals, or makes a mess of the file."""
    path = world.rig.home.data / "furniture_taxonomy_config.json"
    if chance.random() < 0.3:
        text = chance.choice(DAMAGE)
    else:
        prices = sorted({round(chance.lognormvariate(5, 1), 2) for _ in range(chance.randint(0, 5))})
        text = json.dumps({"taxonomies": [{"id": 967, "name": "Furniture", "price_breaks": [0, *prices]}]})
    path.write_text(text, encoding="utf-8")
    return text


def kill_file(world: World, chance: Random) -> str:
    """The owner stops the crawl, as the manual says."""
    name = chance.choice(("KILL", "KILL_SD"))
    (world.rig.home.root / name).touch()
    return name


def lock(world: World, chance: Random) -> str:
    """Another program holds the database for minutes or hours."""
    seconds = chance.choice((1.0, 90.0, 600.0, 3 * HOUR))
    return f"for {seconds:.0f} s" if world.lock(seconds) else "locked already"


def full(world: World, _: Random) -> str:
    """The disk is full: the database can grow no more, until somebody has made room and starts the crawl again."""
    pages = world.rig.rows("PRAGMA page_count")[0][0]
    world.rig.rows(f"PRAGMA max_page_count = {pages}")
    return f"at {pages} pages"


def rush(world: World, chance: Random) -> str:
    """Much happens in the market at once."""
    moves = chance.randint(10, 60)
    world.move(moves)
    return f"{moves} moves"


INCIDENTS: dict[str, tuple[int, Incident]] = {
    "fault": (10, fault),
    "outage": (2, outage),
    "lid": (3, lid),
    "clock": (3, clock),
    "quota": (3, quota),
    "rate": (2, rate),
    "breaks": (2, breaks),
    "kill file": (4, kill_file),
    "rush": (3, rush),
    "lock": (2, lock),
    "full": (2, full),
}
"""How often each happens, compared with the others, and what does it."""


def mend(world: World) -> list[str]:
    """Mend what the owner is told to mend, as the words advise: damaged files are deleted."""
    deleted: list[str] = []
    for name in ("qps_config.json", "furniture_taxonomy_config.json"):
        path = world.rig.home.data / name
        if path.exists():
            path.unlink()
            deleted.append(name)
    return deleted


def calm(world: World) -> None:
    """Let nothing more happen to anybody."""
    world.stand_still()
    world.sandbox.faults.clear()
    world.set_quota(world.sandbox.settings.quota_per_day)
    world.set_clock_right()
    mend(world)

"""What a sandbox can be told: its size, its limits, its manners, and the clock it lives by."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

LISTINGS_PER_SHOP = 12
EPOCH = 1_793_491_200
"""Unix seconds of 2026-11-01T00:00:00Z, when every market is born: so a seed says it all."""


class Clock(Protocol):
    """Where a sandbox gets the time from; tests pass one that they turn by hand."""

    def now(self) -> float:
        """Return the wall time in Unix seconds."""

    def monotonic(self) -> float:
        """Return seconds on a scale that never goes back."""


class RealClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the wall time in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a scale that never goes back."""
        return time.monotonic()


@dataclass(frozen=True)
class SandboxSettings:
    """Everything that makes one sandbox differ from another.

    Shares lie between 0 and 1, times are in seconds, and a sandbox with the same settings
    that gets the same calls gives the same answers.
    """

    seed: int = 7
    listings: int = 3000
    """Active furniture listings at birth; a few inactive ones and a few of other trades come on top."""
    shops: int | None = None
    """None: one shop for every 12 listings."""
    reviews_per_shop: float = 150.0
    wanted_share: float = 0.75
    """Share of listings that were surely made in 2000 or later."""
    key: str = "sandbox-key:sandbox-secret"
    oauth_token: str = "1000000000.sandbox-oauth-token"
    """What the owner of the first shop sends; the number is that user's id, as in Etsy's tokens."""
    quota_per_day: int = 5000
    calls_per_second: int = 5
    refused_calls_count: bool = False
    """Whether a call that got a 429 is taken off the day's quota."""
    cap: int = 12_000
    """The largest offset that a search accepts."""
    count_jitter: float = 0.0
    """A search's count is off by up to this share of itself."""
    index_lag_calls: int = 0
    """How many calls later a change of a listing shows in searches."""
    move_every: int = 0
    """A drift move each so many API calls; 0 stands still."""
    move_seconds: int = 60
    """How far the market's own time goes on at each drift move."""
    epoch: int = EPOCH
    latency_seconds: float = 0.0
    """How late each answer of the API is."""
    picture_latency_seconds: float = 0.0
    """How late each answer of the CDN is."""
    dead_pictures: float = 0.01
    """Share of pictures that are 404 (one half) or a placeholder PNG (the other half)."""
    odd_formats: float = 0.03
    """Share of .jpg addresses that hold a PNG, GIF or WebP."""
    null_reviews: float = 0.02
    """Share of reviews whose text is null, which Etsy's document does not foresee."""
    distinct_pictures: int | None = None
    """Draw only so many pictures and serve each under many addresses; None draws every one."""
    gzip: bool = False
    """Whether the server packs an answer for a client that asks for it."""

    def __post_init__(self) -> None:
        """Refuse a market without listings: nothing could happen in it."""
        if self.listings < 1 or (self.shops is not None and self.shops < 1):
            raise ValueError("A sandbox needs at least one listing and one shop.")

    def shop_count(self) -> int:
        """Return how many shops the market is born with."""
        wanted = self.listings // LISTINGS_PER_SHOP if self.shops is None else self.shops
        return max(1, wanted)

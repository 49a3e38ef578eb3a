"""Platforms that this program has no way to yet: every command for them fails with a sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from publishing.platforms.platform import Artwork
from publishing.troubles import JobFailed


class UnconnectedShop:
    """A shop that is not connected."""

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self, payload: Mapping[str, Any]) -> None:
        """Raise JobFailed: nothing can be listed there."""
        raise _not_connected(self._name)

    def find_listing(self, artwork: Artwork) -> NoReturn:
        """Raise JobFailed."""
        raise _not_connected(self._name)

    def create_listing(self, artwork: Artwork, payload: Mapping[str, Any]) -> NoReturn:
        """Raise JobFailed."""
        raise _not_connected(self._name)

    def put_picture(self, listing_id: str, picture: bytes, words: str) -> None:
        """Raise JobFailed."""
        raise _not_connected(self._name)

    def update_listing(self, listing_id: str, artwork: Artwork, payload: Mapping[str, Any]) -> NoReturn:
        """Raise JobFailed."""
        raise _not_connected(self._name)


class UnconnectedSocial:
    """A social network that is not connected."""

    def __init__(self, name: str) -> None:
        self._name = name

    def publish(self, artwork: Artwork, post_type: str, payload: Mapping[str, Any]) -> NoReturn:
        """Raise JobFailed."""
        raise _not_connected(self._name)


def _not_connected(name: str) -> JobFailed:
    return JobFailed(
        f"{name} is not connected: this program has no adapter for its API.",
        advice="Publish there by hand, or add an adapter in publishing/platforms/.",
    )

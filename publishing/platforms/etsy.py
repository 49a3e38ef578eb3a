"""Etsy, by its own document: createDraftListing, uploadListingImage, updateListing, getListingsByShop.

A draft carries its file's id as the last line of its description (`Ref. …`). Of all that createDraftListing takes and
a listing's answer gives back, the description alone is a free text without a limit of signs: a tag has 20, and a SKU
cannot be given to a draft when it is made. Before a listing is made, the shop's listings are looked through for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from publishing.payloads import choice_of, find_text, flag_of, number_of, text_of, whole_of
from publishing.platforms.etsy_texts import has_mark, tags_for, title_for, with_mark
from publishing.platforms.platform import Artwork, Posted
from publishing.troubles import JobFailed, TryLater
from publishing.wire import Call, Wire, WireAnswer, WireError

SERVICE = "etsy"
PAGE, MOST_OFFSET = 100, 12_000
STATES = ("draft", "active", "inactive", "sold_out", "expired")
STATUSES = {"draft": "draft", "active": "active", "sold_out": "sold_out"}  # any other is delisted
MARGIN_SECONDS = 86_400.0  # by which our clock may be ahead of Etsy's
MAKERS = ("i_did", "someone_else", "collective")
ERAS = (
    *("made_to_order", "2020_2026", "2010_2019", "2007_2009", "before_2007", "2000_2006"),
    *(f"{year}s" for year in range(1990, 1890, -10)),
    *("1800s", "1700s", "before_1700"),
)
TYPES = ("physical", "download", "both")
MOST_ID = 2**63 - 1
UPDATABLE = ("title", "description", "tags", "state", "taxonomy_id", "who_made", "when_made", "shipping_profile_id")
LATER = (408, 409, 425)


class Etsy:
    """Drafts and changes the listings of one shop."""

    def __init__(self, wire: Wire, shop_id: int | None, has_token: bool) -> None:
        self._wire = wire
        self._shop_id = shop_id
        self._has_token = has_token

    def check(self, payload: Mapping[str, Any]) -> None:
        """Raise JobFailed where settings are missing or the payload lacks what a draft needs."""
        if not self._has_token or self._shop_id is None:
            raise JobFailed(
                "Etsy needs ETSY_OAUTH_TOKEN (scopes listings_r and listings_w) and ETSY_SHOP_ID.",
                advice="Set both, then `python run.py publish retry ID` with the job's id.",
            )
        _draft_form(payload)

    def find_listing(self, artwork: Artwork) -> Posted | None:
        """Return the shop's oldest listing that has the file's mark, in whatever state it is."""
        for state in STATES:
            found = [row for row in self._listings(state, artwork.created_at) if _is_of(row, artwork)]
            if found:
                return _posted(min(found, key=lambda row: int(row["listing_id"])))
        return None

    def create_listing(self, artwork: Artwork, payload: Mapping[str, Any]) -> Posted:
        """Make a draft with the file's mark."""
        form = _draft_form(payload) | _texts(artwork)
        return _posted(self._send(Call("createDraftListing", "POST", self._path(), form=form)))

    def put_picture(self, listing_id: str, picture: bytes, words: str) -> None:
        """Have the picture in the first place, instead of one that an earlier try has brought there."""
        form = {"rank": "1", "overwrite": "true", "alt_text": words[:500]}
        path = f"{self._path()}/{listing_id}/images"
        self._send(Call("uploadListingImage", "POST", path, form=form, picture=picture))

    def update_listing(self, listing_id: str, artwork: Artwork, payload: Mapping[str, Any]) -> Posted:
        """Change the named fields; without any, title, description and tags as the file's metadata has them."""
        form = _change_form(payload, artwork) or _texts(artwork)
        return _posted(self._send(Call("updateListing", "PATCH", f"{self._path()}/{listing_id}", form=form)))

    def _path(self) -> str:
        return f"/shops/{self._shop_id}/listings"

    def _listings(self, state: str, since: float) -> Iterator[Mapping[str, Any]]:
        """Yield the shop's listings in this state, at least all that were made since that moment."""
        last, falling = float("inf"), True
        for offset in range(0, MOST_OFFSET, PAGE):
            query = {"state": state, "limit": str(PAGE), "offset": str(offset)}
            rows = self._send(Call("getListingsByShop", "GET", self._path(), query)).get("results", [])
            yield from rows
            for row in rows:
                created = row.get("created_timestamp") or last
                falling, last = falling and created <= last, created
            # Etsy promises no order here; where the newest come first, the rest is older than the file.
            if len(rows) < PAGE or (falling and last < since - MARGIN_SECONDS):
                return

    def _send(self, call: Call) -> dict[str, Any]:
        """Return the JSON object of the answer; JobFailed, TryLater."""
        try:
            answer = self._wire.send(call)
        except WireError as error:
            raise TryLater(f"Etsy did not answer ({error}).") from error
        if not 200 <= answer.status < 300:
            raise self._refusal(call, answer)
        try:
            value = json.loads(answer.body)
        except ValueError as error:
            raise TryLater(f"Etsy's answer to {call.endpoint} is no JSON.") from error
        if not isinstance(value, dict):
            raise TryLater(f"Etsy's answer to {call.endpoint} is no object.")
        return value

    def _refusal(self, call: Call, answer: WireAnswer) -> JobFailed | TryLater:
        words = f"Etsy refuses {call.endpoint} (HTTP {answer.status}: {_error(answer)})."
        if answer.status == 429:
            told = answer.headers.get("retry-after", "")
            self._wire.hold(float(told) if told.isdigit() and int(told) <= 60 else 1.0)
            return TryLater(words)
        if answer.status not in range(400, 500) or answer.status in LATER:
            return TryLater(words)
        return JobFailed(words, advice=ADVICE.get(answer.status, ""))


ADVICE = {
    401: "It may have expired: put a new token into ETSY_OAUTH_TOKEN, then `python run.py publish retry`.",
    403: "Check ETSY_API_KEY, the token's scopes (listings_r, listings_w) and that ETSY_SHOP_ID is its shop.",
    404: "Check ETSY_SHOP_ID, and whether the listing was deleted on Etsy.",
}


def _draft_form(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the form fields of a draft that the payload tells; JobFailed names what is missing or wrong."""
    form = {
        "quantity": str(whole_of(payload, "quantity", 1, 999, 1)),
        "price": f"{number_of(payload, 'price', 0.2, 50_000):.2f}",
        "who_made": choice_of(payload, "who_made", MAKERS, "i_did"),
        "when_made": choice_of(payload, "when_made", ERAS, "made_to_order"),
        "taxonomy_id": str(whole_of(payload, "taxonomy_id", 1, MOST_ID)),
        "is_supply": str(flag_of(payload, "is_supply", False)).lower(),
        "type": choice_of(payload, "type", TYPES, "physical"),
    }
    if payload.get("shipping_profile_id") is not None:
        form["shipping_profile_id"] = str(whole_of(payload, "shipping_profile_id", 1, MOST_ID))
    return form


def _change_form(payload: Mapping[str, Any], artwork: Artwork) -> dict[str, str]:
    """Return the form fields of a change; JobFailed where it names one that updateListing does not take."""
    named = set(payload) - {"platform", "file_id", "then"}
    if strange := sorted(named - set(UPDATABLE)):
        raise JobFailed(
            f"Etsy's updateListing takes no {strange[0]}.", advice=f"It takes {', '.join(UPDATABLE)}; a price: by hand."
        )
    form = {name: str(payload[name]) for name in named - {"tags"}}
    if "title" in named:
        form["title"] = title_for(text_of(payload, "title"))
    if "description" in named:
        form["description"] = with_mark(text_of(payload, "description"), artwork.file_id)
    if "tags" in named:
        form["tags"] = ",".join(tags_for((find_text(payload, "tags") or "").split(",")))
    if "state" in named:
        choice_of(payload, "state", ("active", "inactive"))
    return form


def _texts(artwork: Artwork) -> dict[str, str]:
    title = title_for(artwork.metadata.title)
    if not title:
        raise JobFailed("No sign of the title may stand in a title on Etsy.", advice="Give the file another title.")
    return {
        "title": title,
        "description": with_mark(artwork.metadata.description, artwork.file_id),
        "tags": ",".join(tags_for(artwork.metadata.hashtags)),
    }


def _is_of(row: Mapping[str, Any], artwork: Artwork) -> bool:
    return has_mark(str(row.get("description", "")), artwork.file_id)


def _posted(row: Mapping[str, Any]) -> Posted:
    try:
        return Posted(str(int(row["listing_id"])), row.get("url"), STATUSES.get(row["state"], "delisted"))
    except (KeyError, TypeError, ValueError) as error:
        raise TryLater(f"Etsy's listing makes no sense ({error!r}).") from error


def _error(answer: WireAnswer) -> str:
    try:
        value = json.loads(answer.body)
    except ValueError:
        return answer.body[:80].decode("utf-8", "replace")
    if isinstance(value, list):
        return "; ".join(f"{item.get('path')} {item.get('message')}" for item in value if isinstance(item, dict))[:300]
    return str(value.get("error_description") or value.get("error") or value)[:300] if isinstance(value, dict) else "?"

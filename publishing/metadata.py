"""metadata_json: {title, description, hashtags[], captions{instagram, tiktok, pinterest}}, and its shape checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

CAPTIONED = ("instagram", "tiktok", "pinterest")
FIELDS = {"title": str, "description": str, "hashtags": list, "captions": dict}


class WrongShape(ValueError):
    """A value is no metadata; the text says where it is not as it should be."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said of an artwork in shops and posts; `captions` by platform."""

    title: str
    description: str
    hashtags: tuple[str, ...]
    captions: Mapping[str, str]

    def as_json(self) -> str:
        """Return it as the text that is stored."""
        return json.dumps({**asdict(self), "hashtags": list(self.hashtags)}, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an artwork before anything is written about it; sides in pixels."""

    title: str
    species: str | None
    width: int | None
    height: int | None
    aspect_ratio: str | None
    told: Mapping[str, Any]
    """What a person wrote beside the picture: any of metadata's own fields, which then stay as they are."""


class MetadataWriter(Protocol):
    """The hook: what makes metadata of facts; an outside service is another one of these."""

    def write(self, facts: Facts) -> Metadata:
        """Return the metadata; JobFailed where these facts will never do, TryLater where a later try may help."""


def parse_metadata(text: str) -> Metadata:
    """Return the metadata that a text of JSON holds; WrongShape."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongShape(f"metadata is no JSON ({error})") from error
    return check_metadata(value)


def check_metadata(value: Any) -> Metadata:
    """Return the metadata that a JSON value holds; WrongShape."""
    if not isinstance(value, Mapping):
        raise WrongShape("metadata must be an object")
    if strange := sorted(set(value) - set(FIELDS)):
        raise WrongShape(f"metadata has no field {strange[0]!r}; it has {', '.join(FIELDS)}")
    for name, kind in FIELDS.items():
        if not isinstance(value.get(name), kind):
            raise WrongShape(f"metadata.{name} must be {WORDS[kind]}")
    if not value["title"].strip():
        raise WrongShape("metadata.title is empty")
    if not all(isinstance(tag, str) and tag.strip() for tag in value["hashtags"]):
        raise WrongShape("metadata.hashtags must be a list of texts, none of them empty")
    captions = value["captions"]
    if set(captions) != set(CAPTIONED) or not all(isinstance(text, str) for text in captions.values()):
        raise WrongShape(f"metadata.captions must have a text for each of {', '.join(CAPTIONED)}")
    return Metadata(value["title"], value["description"], tuple(value["hashtags"]), dict(captions))


WORDS = {str: "a text", list: "a list", dict: "an object"}

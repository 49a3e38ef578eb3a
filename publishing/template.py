"""Metadata from a template: title, species and the picture's shape, in plain sentences; pure."""

from __future__ import annotations

import re

from publishing.metadata import CAPTIONED, Facts, Metadata, check_metadata

NO_TAG = re.compile(r"[^\w]+")
SHAPES = {True: "landscape", False: "portrait"}


class Template:
    """Writes what any artwork can be said to be; nothing outside is asked."""

    def write(self, facts: Facts) -> Metadata:
        """Return the metadata; what a person wrote beside the picture stays as it is. WrongShape."""
        title = facts.title.strip()
        subject = facts.species or title
        hashtags = list(dict.fromkeys(filter(None, map(_tag, (facts.species or "", *title.split(), "wildlifeart")))))
        caption = f"{title} {' '.join(f'#{tag}' for tag in hashtags)}".strip()
        written = {
            "title": title,
            "description": f"{title}: a {_shape(facts)} of {subject}.{_size(facts)}",
            "hashtags": hashtags,
            "captions": dict.fromkeys(CAPTIONED, caption),
        }
        told = {name: value for name, value in facts.told.items() if name in written}
        if isinstance(told.get("captions"), dict):
            told["captions"] = {**dict.fromkeys(CAPTIONED, caption), **told["captions"]}
        return check_metadata({**written, **told})


def _tag(text: str) -> str:
    return NO_TAG.sub("", text).lower()


def _shape(facts: Facts) -> str:
    if not facts.width or not facts.height:
        return "picture"
    if facts.width == facts.height:
        return "square picture"
    return f"{SHAPES[facts.width > facts.height]} picture"


def _size(facts: Facts) -> str:
    if not facts.width or not facts.height:
        return ""
    ratio = f" ({facts.aspect_ratio})" if facts.aspect_ratio else ""
    return f" {facts.width} x {facts.height} pixels{ratio}."

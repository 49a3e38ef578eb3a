"""A folder of pictures becomes jobs: title and species from the JSON beside a picture, else from its file name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.publishing import Job
from publishing import jobs
from publishing.canonical import NotJson, parse_json
from publishing.handlers.create_file import digest_of
from publishing.metadata import FIELDS
from publishing.names import words_of
from publishing.payloads import parse_payload
from publishing.then import chain
from publishing.troubles import JobFailed
from runtime import bulk
from runtime.errors import UserMistake

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
SIDECAR = ("species", "drive_file_id", *FIELDS)


@dataclass
class Ingested:
    """What an ingest has come to: new jobs, pictures that were known, and what is wrong with the others."""

    jobs: int = 0
    known: int = 0
    troubles: list[str] = field(default_factory=list)


class BadSidecar(Exception):
    """The JSON beside a picture is not as it should be; the text says how."""


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of the folder by name; UserMistake where it is no folder."""
    if not folder.is_dir():
        raise UserMistake(f"There is no folder {folder}.", advice="Name the folder that the pictures lie in.")
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def payloads_of(folder: Path, factor: float, dpi: int, done: Ingested) -> Iterator[dict[str, Any]]:
    """Yield the payload of each picture that is not known yet; what is wrong with one stops no other."""
    known = known_digests()
    for path in pictures_in(folder):
        try:
            payload = payload_of(path.resolve(), factor, dpi)
        except (BadSidecar, OSError) as error:
            done.troubles.append(f"{path}: {error}")
            continue
        if payload["digest"] in known:
            done.known += 1
            continue
        known.add(payload["digest"])
        yield payload


def payload_of(picture: Path, factor: float, dpi: int) -> dict[str, Any]:
    """Return what CreateFileRecord is told of a picture, and what follows it; BadSidecar."""
    told, named = read_sidecar(picture.with_suffix(".json")), words_of(picture.name)
    about = {name: told[name] for name in FIELDS if name in told}
    title = {"title": about.pop("title", None) or named.title, "told": about}
    found = {"species": told.get("species") or named.species, "drive_file_id": told.get("drive_file_id")}
    return {
        "path": str(picture),
        "original_filename": picture.name,
        "digest": digest_of(picture),
        **{name: value for name, value in found.items() if value},
        "then": chain([("UpscaleImage", {"factor": factor, "dpi": dpi}), ("GenerateMetadata", title)]),
    }


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """Return what the JSON beside a picture says, nothing where there is none; BadSidecar."""
    if not path.exists():
        return {}
    try:
        value = parse_json(path.read_bytes())
    except NotJson as error:
        raise BadSidecar(f"{path.name} is no JSON ({error})") from error
    if not isinstance(value, dict) or (strange := sorted(set(value) - set(SIDECAR))):
        told = f"not {strange[0]!r}" if isinstance(value, dict) else "and must be an object"
        raise BadSidecar(f"{path.name} may have {', '.join(SIDECAR)}, {told}")
    for name in ("title", "species", "drive_file_id"):
        if name in value and not (isinstance(value[name], str) and value[name].strip()):
            raise BadSidecar(f"{path.name}: {name} must be a text")
    return value


def known_digests() -> set[str]:
    """Return the digests of all pictures that a job has taken in, or will; a failed one may be tried anew."""
    query = Job.select(Job.payload_json).where(Job.command_type == "CreateFileRecord", Job.status != jobs.FAILED)
    found = set[str]()
    for (text,) in bulk.tuples(query):
        try:
            found.add(str(parse_payload(text).get("digest")))
        except JobFailed:  # another program's, which its own job will say
            continue
    return found

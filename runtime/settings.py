"""Settings from the environment, `.env` and `settings.toml`; every mistake is reported at once.

The environment wins over `.env`, which wins over `settings.toml`. Both files are looked for in the home
folder (`CRAWLER_HOME`, by default the folder of run.py). Nothing else in the project reads the environment.
"""

from __future__ import annotations

import difflib
import os
import re
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from runtime.errors import UserMistake

PICTURE_FOLDER = re.compile(r"[0-9]{3}")
DEFAULT_DATABASE_URL = "sqlite:///data/db/etsy_data.db"
HOST = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\]"
WEB_ADDRESS = re.compile(rf"https?://(?:{HOST})(?::(?P<port>[0-9]{{1,5}}))?(?:/[A-Za-z0-9/_.,%+~-]*)?")
LISTEN = re.compile(rf"(?:{HOST}):[0-9]{{1,5}}")
KEPT_QUIET = ("SECRET", "KEY", "TOKEN", "PASSWORD", "DATABASE", "ALERTS")  # settings whose values no error shows
LARGEST_ID = 2**63 - 1  # that a database takes
NUMBERS = (
    "taxonomy_ids",
    "cycle_days",
    "dynamic_max_age_days",
    "download_workers",
    "min_free_gb",
    "shard_pictures",
    "backup_keep_hours",
    "web_port",
    "backup_keep_days",
    "backup_keep_months",
    "etsy_shop_id",
    "publish_attempts",
    "publish_stalled_minutes",
    "webhook_port",
    "webhook_hash_hours",
)


class Settings(BaseModel):
    """All settings, checked; field names are the environment's names in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    etsy_api_key: SecretStr = SecretStr("")
    etsy_shared_secret: SecretStr = SecretStr("")
    etsy_api_url: str = "https://openapi.etsy.com/v3/application"
    etsy_cdn_url: str = "https://i.etsystatic.com"
    crawler_home: Path
    database_url: SecretStr = SecretStr(DEFAULT_DATABASE_URL)
    taxonomy_ids: tuple[Annotated[int, Field(gt=0, le=LARGEST_ID)], ...] = Field((967,), min_length=1)
    cycle_days: float = Field(7.0, gt=0, le=3650, allow_inf_nan=False)
    dynamic_max_age_days: float = Field(7.0, gt=0, le=3650, allow_inf_nan=False)
    download_workers: int = Field(8, ge=1, le=64)
    min_free_gb: float = Field(5.0, ge=0, allow_inf_nan=False)
    archive_raw: bool = False
    shard_pictures: int = Field(10_000, ge=1, le=100_000)
    models_folder: Path | None = None
    hub_folder: Path | None = None
    embed_models: tuple[str, ...] = ()
    embed_back_end: Literal["auto", "torch", "onnx"] = "auto"
    embed_address: str = ""
    background_model: str = Field("u2net", pattern=r"^[A-Za-z0-9_-]+$")
    backup_folders: tuple[Path, ...] = (Path("backups"),)
    backup_keep_hours: int = Field(24, ge=1, le=1_000)
    backup_keep_days: int = Field(30, ge=1, le=10_000)
    backup_keep_months: int = Field(12, ge=1, le=1_000)
    mirror_folder: Path | None = None
    mirror_tars_folder: Path | None = None
    web_host: str = Field("127.0.0.1", min_length=1)
    web_port: int = Field(8080, ge=0, le=65_535)
    web_password: SecretStr = SecretStr("")
    alerts: SecretStr = SecretStr("")
    alerts_digest: bool = False
    etsy_oauth_token: SecretStr = SecretStr("")
    etsy_shop_id: int | None = Field(None, gt=0, le=LARGEST_ID)
    publish_folder: Path = Path("data/publishing")
    publish_attempts: int = Field(5, ge=1, le=20)
    publish_stalled_minutes: float = Field(15.0, gt=0, le=10_000, allow_inf_nan=False)
    webhook_port: int = Field(8787, ge=0, le=65_535)
    webhook_hash_hours: float = Field(24.0, gt=0, le=10_000, allow_inf_nan=False)
    call_costs: str = ""

    @field_validator(*NUMBERS, mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any) -> Any:
        """Refuse `true`, which TOML knows and pydantic takes for 1."""
        if isinstance(value, bool) or (isinstance(value, list) and any(isinstance(item, bool) for item in value)):
            raise ValueError("must be a number")
        return value

    @field_validator("etsy_api_key", "etsy_shared_secret", "etsy_oauth_token")
    @classmethod
    def _fits_into_a_header(cls, value: SecretStr) -> SecretStr:
        """Take the text without white space around it; a curly quote in a header would end the crawl as a bug."""
        text = value.get_secret_value().strip()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be plain letters, digits and signs, without spaces")
        return SecretStr(text)

    @field_validator("embed_address")
    @classmethod
    def _is_listening_address(cls, value: str) -> str:
        if value and not LISTEN.fullmatch(value):
            raise ValueError("must be an address of this machine and a port, like 192.168.1.5:8786")
        return value

    @field_validator("alerts", mode="before")
    @classmethod
    def _join_addresses(cls, value: Any) -> Any:
        """Take a TOML list as well as addresses with spaces between them."""
        return " ".join(value) if isinstance(value, list) and all(isinstance(part, str) for part in value) else value

    @field_validator("embed_models", "backup_folders", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        """Take `clip_vitb32,dinov2_base` as well as a TOML list."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("taxonomy_ids", mode="before")
    @classmethod
    def _split_ids(cls, value: Any) -> Any:
        """Take `967` and `967,968` as well as a TOML list."""
        if isinstance(value, int):
            return (value,)
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("taxonomy_ids")
    @classmethod
    def _no_repeats(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("etsy_api_url", "etsy_cdn_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        match = WEB_ADDRESS.fullmatch(value)
        if match is None or int(match["port"] or 80) > 65_535:
            raise ValueError("must be an address like https://host/path")
        urlsplit(value)  # refuses what only looks like an address in brackets
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _is_database_address(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.startswith(("sqlite:///", "postgresql://", "postgres://")) or text == "sqlite:///":
            raise ValueError("must start with sqlite:/// or postgresql://")
        if not text.isprintable():
            raise ValueError("must be one line of letters that can be seen")
        _password_of(text)
        return value

    @property
    def key_header(self) -> str:
        """The value of `x-api-key`: `keystring:secret`, or the keystring alone where no secret is set."""
        key, secret = self.etsy_api_key.get_secret_value(), self.etsy_shared_secret.get_secret_value()
        return key if ":" in key or not secret else f"{key}:{secret}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must appear in no log, dump or error."""
        parts = [*self.key_header.split(":"), self.etsy_shared_secret.get_secret_value(), self.key_header]
        parts += [*self.alerts.get_secret_value().split(), self.web_password.get_secret_value()]
        parts.append(self.etsy_oauth_token.get_secret_value())
        password = _password_of(self.database_url.get_secret_value())
        return tuple(sorted({part for part in [*parts, password] if len(part) >= 4}, key=len, reverse=True))


@dataclass(frozen=True)
class Home:
    """Where everything of one installation lies."""

    root: Path

    @property
    def data(self) -> Path:
        """The folder of the database and the files that a person may edit."""
        return self.root / "data" / "db"

    @property
    def checkpoints(self) -> Path:
        """The folder of the dumps and audit reports."""
        return self.root / "checkpoints"

    @property
    def logs(self) -> Path:
        """The folder of the rotating logs."""
        return self.root / "logs"

    @property
    def images(self) -> Path:
        """The folder of the pictures."""
        return self.root / "images"

    @property
    def upkeep(self) -> Path:
        """The folder of what is noted about backups, mirrors and alerts."""
        return self.root / "data" / "upkeep"

    @property
    def publishing_database(self) -> Path:
        """The file of the second database, of artworks on their way to shops."""
        return self.root / "data" / "fieldfen.db"

    @property
    def embeddings(self) -> Path:
        """The folder of the vectors and their indexes."""
        return self.root / "data" / "embeddings"

    def models_folder(self, told: Path | None) -> Path:
        """Return the folder of the models' weights that the settings name, a relative one below the home."""
        return self.root / (told or Path("data/models"))

    @property
    def lock(self) -> Path:
        """The file whose lock says that a crawler works on this home."""
        return self.lock_of("crawler")

    def lock_of(self, work: str) -> Path:
        """Return the file whose lock says that somebody does this work on this home."""
        return self.data / f"{work}.lock"

    def traces(self) -> list[Path]:
        """Return what shows that this home was crawled before, whatever has become of its database."""
        ids = self.data / "furniture_taxonomy_ids.json"
        pictures = self.images / "imagedownload"
        found = [ids] if ids.exists() else []
        found += [self.checkpoints] if any(self.checkpoints.glob("*.json")) else []
        return found + ([pictures] if any(PICTURE_FOLDER.fullmatch(path.name) for path in pictures.glob("*")) else [])

    def kill_files(self, *names: str) -> tuple[Path, ...]:
        """Return the paths of the KILL files with these names."""
        return tuple(self.root / name for name in names)


def load_settings(root: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings for the program in `root`; UserMistake lists everything that is wrong."""
    environment = os.environ if environment is None else environment
    names = {name.upper() for name in Settings.model_fields}
    first = _read_files(root)
    home = _home(root, environment.get("CRAWLER_HOME") or first.get("CRAWLER_HOME") or root)
    if not os.path.isdir(home):  # noqa: PTH112 - Path.is_dir raises where a disk is dying
        raise UserMistake(
            f"CRAWLER_HOME is {home}, and there is no such folder.",
            advice="Is its disk mounted? For a new home make the folder, then start again.",
        )
    values = first if home == root else {**first, **_read_files(home)}
    # An empty value counts as not set, as shells and service files write it.
    values |= {name: environment[name] for name in names if environment.get(name)}
    values["CRAWLER_HOME"] = home
    try:
        return Settings(**{name.lower(): value for name, value in values.items()})
    except ValidationError as error:
        raise UserMistake(
            "These settings are wrong:\n" + "\n".join(f"  {_in_words(item, names)}" for item in error.errors()),
            advice="\nMend them in the environment, .env or settings.toml, then start again.",
        ) from None


def _home(root: Path, told: Any) -> Path:
    """Return the home folder that is told; a relative one lies in `root`."""
    try:
        home = Path(told).expanduser()
    except (TypeError, RuntimeError) as error:
        raise UserMistake(
            f"CRAWLER_HOME cannot be used: {error} (it is {reprlib.repr(told)[:80]}).", advice="Name a folder."
        ) from error
    return home if home.is_absolute() else root / home


def _password_of(database_url: str) -> str:
    """Return the password in an address, empty where there is none; ValueError where it is no address."""
    # A path may hold anything, and is no address.
    return "" if database_url.startswith("sqlite:") else urlsplit(database_url).password or ""


def _read_files(folder: Path) -> dict[str, Any]:
    """Return what settings.toml and .env of the folder say, names in capitals; .env wins."""
    values: dict[str, Any] = {}
    toml = folder / "settings.toml"
    try:
        if toml.exists():
            values |= {name.upper(): value for name, value in tomllib.loads(toml.read_text("utf-8")).items()}
    # Not its own error alone: a number of 5,000 digits and brackets in thousands are others.
    except (ValueError, RecursionError, OSError) as error:
        raise UserMistake(f"{toml} cannot be read: {error}.", advice="Mend it, or delete it.") from error
    known = {name.upper() for name in Settings.model_fields}
    dotenv = folder / ".env"
    try:
        found = dotenv_values(dotenv) if dotenv.exists() else {}
    except (ValueError, OSError) as error:
        raise UserMistake(f"{dotenv} cannot be read: {error}.", advice="Mend it, or delete it.") from error
    return values | {name: value for name, value in found.items() if name in known and value}


def _in_words(item: Any, names: set[str]) -> str:
    """Return one of pydantic's errors as a line for a person; the value of a secret is never shown."""
    name = str(item["loc"][0]).upper()[:60]
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, names, 1)
        return f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ".")
    shown = "" if any(word in name for word in KEPT_QUIET) else f" (it is {reprlib.repr(item['input'])[:80]})"
    return f"{name}: {item['msg'].removeprefix('Value error, ')}{shown}"

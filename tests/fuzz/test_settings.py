"""Settings of any kind, from any of their three places: they make sense, or are refused in words without a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example
from hypothesis import strategies as st

from crawler.commands import read_ids
from imaging.address import picture_url
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import open_database, open_read_only
from runtime.errors import CrawlError, UserMistake
from runtime.settings import Settings, load_settings
from tests.fuzz.budget import fuzz
from tests.fuzz.odd import TEXTS, made, texts, values
from tests.fuzz.texts import lines, written

NAMES = tuple(name.upper() for name in Settings.model_fields if name != "crawler_home")
TOML = (
    b'CYCLE_DAYS = 7\ntaxonomy_ids = [967, 968]\netsy_api_key = "a:b"\n# a comment\nMIN_FREE_GB = 0.5\n',
    b'ETSY_API_URL = "https://openapi.etsy.com/v3/application"\nETSY_CDN_URL = "http://127.0.0.1:8000"\n',
    b'DATABASE_URL = "postgresql://me:hush@localhost/db"\nARCHIVE_RAW = true\nSHARD_PICTURES = 1979-05-27T07:32:00Z\n',
)
DOTENV = (
    b"CYCLE_DAYS=2\nETSY_API_KEY='a:b'\nexport DOWNLOAD_WORKERS=3 # many\n",
    b'ALERTS="x\\ny"\nTAXONOMY_IDS=${A:-5}\n',
)
ADDRESSES = (
    *(
        "https://[",
        "http://[::1]:80/x",
        "https://host:99999",
        "https://host:",
        "http://a b",
        "http://ho\nst",
        "HTTP://HOST",
    ),
    *(
        "https://ключ.example",
        "https://user:pass@host",
        "https://host/?a=b",
        "https://host/#x",
        "https://..",
        "http://*",
    ),
    *(
        "sqlite:///",
        "sqlite:///a\x00b",
        "sqlite:///" + "x" * 5000,
        "postgresql://[x",
        "postgresql://u:p@h:x/d",
        "//host",
    ),
)
odd_texts = st.sampled_from((*TEXTS, *ADDRESSES)) | texts
toml_values = made(written, odd_texts | values)
odd_toml = made(
    lambda told: b"\n".join(name.encode() + b" = " + text for name, text in told.items()),
    st.dictionaries(st.sampled_from((*NAMES, "CYCLE_DAY", "self", "crawler_home")), toml_values, max_size=4),
)
environments = st.dictionaries(st.sampled_from(NAMES), odd_texts.filter(lambda text: "\x00" not in text), max_size=5)


def usable(settings: Settings) -> None:
    """AssertionError where the settings would fail whoever uses them."""
    header = settings.key_header
    assert header.isascii() and header.isprintable() and " " not in header, "this goes into a header"
    request = requests.Request("GET", settings.etsy_api_url + "/x", {"x-api-key": header}, params={"a": "b"}).prepare()
    assert request.url and request.url.endswith("/x?a=b"), request.url
    assert requests.Request("GET", picture_url(settings.etsy_cdn_url, 1, "ab", "x", None)).prepare().url
    assert all(isinstance(secret, str) for secret in settings.secrets)
    assert settings.taxonomy_ids and all(0 < taxonomy_id < 2**63 for taxonomy_id in settings.taxonomy_ids)
    database_url = settings.database_url.get_secret_value()
    assert "\x00" not in database_url and "\x00" not in str(settings.crawler_home)
    settings.crawler_home.exists()


@example(toml=b"a = " + b"[" * 2_000, dotenv=b"", environment={})
@example(toml=b"a = " + b"9" * 5_000, dotenv=b"", environment={})
@example(toml=b"DOWNLOAD_WORKERS = true", dotenv=b"", environment={})
@example(toml=b"TAXONOMY_IDS = [true]", dotenv=b"", environment={})
@example(toml=b'CRAWLER_HOME = "a\\u0000b"', dotenv=b"", environment={})
@example(toml=b"CRAWLER_HOME = [1]", dotenv=b"", environment={})
@example(toml=b"", dotenv=b"", environment={"CRAWLER_HOME": "~nobody-of-that-name/x"})
@example(toml=b"", dotenv=b"", environment={"CRAWLER_HOME": "x" * 5_000})
@example(toml=b"", dotenv=b"", environment={"ETSY_API_KEY": "“keystring”:secret"})
@example(toml=b"", dotenv=b"", environment={"ETSY_API_KEY": " keystring:secret\n"})
@example(toml=b"", dotenv=b"", environment={"TAXONOMY_IDS": "99999999999999999999"})
@fuzz("settings", toml=lines(*TOML) | odd_toml, dotenv=lines(b"", *DOTENV), environment=environments)
def test_settings_are_usable_or_refused_in_words_and_no_file_is_changed(
    tmp_path: Path, toml: bytes, dotenv: bytes, environment: dict[str, str]
) -> None:
    contents = {tmp_path / "settings.toml": toml, tmp_path / ".env": dotenv}
    for path, content in contents.items():
        path.write_bytes(content)
    try:
        usable(load_settings(tmp_path, environment))
    except UserMistake as mistake:
        told = mistake.words()
        known = (*NAMES, "CRAWLER_HOME", "settings.toml", ".env", "there is no such setting")
        assert any(name in told for name in known) and len(told) < 20_000
        assert "“keystring”" not in told and "hush" not in told
    assert {path: path.read_bytes() for path in contents} == contents


@pytest.mark.parametrize(
    "name", ["a?b.db", "a#b.db", "50%41.db", "a b.db", ":memory:", "é.db", ".", "x" * 300, "a/b/c", "a&b"]
)
def test_a_database_has_the_name_that_it_is_given_or_is_refused(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{name}"
    try:
        open_database(url, tmp_path, CRAWLER_MODELS, MIGRATIONS).close()
    except CrawlError as error:
        assert str(tmp_path) in error.words()
        return
    assert (tmp_path / name).is_file()
    open_read_only(url, tmp_path, CRAWLER_MODELS).close()


IDS = (b"1234567890\n1234567891 # a chair\n\n# only words\n 5 \n", b"1\r\n2\r\n3", "№ 7\n١٢\n".encode())


@example(content=b"\xff\xfe1\x00")
@example(content="²\n".encode())
@example(content=b"9" * 30)
@example(content=b"")
@fuzz("ids", content=lines(*IDS) | st.lists(odd_texts).map(lambda told: "\n".join(told).encode("utf-8", "replace")))
def test_a_file_of_ids_gives_ids_that_a_database_takes_or_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    try:
        found = read_ids(path)
    except UserMistake as mistake:
        assert str(path) in mistake.words() and len(mistake.words()) < 5_000
    else:
        assert found and len(set(found)) == len(found)
        assert all(0 <= listing_id < 2**63 and str(listing_id).encode() in content for listing_id in found)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "not there", "not readable"])
def test_what_is_no_file_of_ids_is_refused(tmp_path: Path, kind: str) -> None:
    path: Any = tmp_path / "ids"
    if kind == "folder":
        path.mkdir()
    path = Path("/proc/self/mem") if kind == "not readable" else path
    with pytest.raises(UserMistake, match=str(path)):
        read_ids(path)

"""Who may ask the page for something, and who may change something."""

from __future__ import annotations

import base64

import pytest

from runtime.errors import UserMistake
from tests.upkeep.home import settings_of
from web.guard import Guard, is_loopback
from web.wiring import build_guard

OURS = {"host": "127.0.0.1:8080"}


def status(guard: Guard, method: str = "GET", **headers: str) -> int:
    told = {**OURS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    refused = guard.refuse(method, told)
    return 200 if refused is None else refused.status_code


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:8080"])
def test_names_of_this_machine_are_served(host: str) -> None:
    assert status(Guard(), host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "192.168.1.5",
        "localhost:x",
        "[::1",
        "0.0.0.0",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert status(Guard(), host=host) == 421


@pytest.mark.parametrize(
    ("site", "expected"),
    [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("rubbish", 403)],
)
def test_only_pages_of_this_origin_may_post(site: str, expected: int) -> None:
    assert status(Guard(), "POST", sec_fetch_site=site, content_length="0") == expected
    assert status(Guard(), "GET", sec_fetch_site=site) == 200


@pytest.mark.parametrize(("length", "expected"), [("0", 200), ("25000000", 200), ("25000001", 413), ("-1", 413)])
def test_a_request_that_is_too_large_is_refused_before_it_is_read(length: str, expected: int) -> None:
    assert status(Guard(), "POST", content_length=length) == expected


def test_a_form_that_does_not_tell_its_length_is_refused() -> None:
    assert status(Guard(), "POST", transfer_encoding="chunked") == 411


def test_with_a_password_nobody_is_served_without_it() -> None:
    guard = Guard(password="söcret")
    assert status(guard) == 401
    assert status(guard, authorization=basic("wrong")) == 401
    assert status(guard, authorization="Basic !!!") == 401
    assert status(guard, authorization="Bearer söcret".encode().decode("latin-1")) == 401
    assert status(guard, authorization=basic("söcret")) == 200
    assert status(guard, host="192.168.1.5:8080", authorization=basic("söcret")) == 200
    assert status(guard, host="evil.example", authorization=basic("söcret")) == 421


def test_the_token_of_a_form_is_another_one_after_each_start() -> None:
    first, second = Guard(), Guard()
    assert first.is_own_form(first.token)
    assert not first.is_own_form(second.token)
    assert not first.is_own_form(None) and not first.is_own_form("") and not first.is_own_form("ü")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("::", False),
        ("imac.local", False),
    ],
)
def test_an_address_that_others_reach_needs_a_password(
    host: str, alone: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert is_loopback(host) is alone
    settings = settings_of(tmp_path_factory.mktemp("home"), WEB_HOST=host)
    if alone:
        assert build_guard(settings).password == ""
    else:
        with pytest.raises(UserMistake, match="others could open this page"):
            build_guard(settings)

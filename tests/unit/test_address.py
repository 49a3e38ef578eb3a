"""The address of a picture: built from the row or taken from it, and never one of another host."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from imaging.address import picture_url, redirect_url
from imaging.check import Refused

REAL = "https://i.etsystatic.com"
LOCAL = "http://127.0.0.1:8000/cdn"
ASKED = f"{LOCAL}/il/ab12cd/2100000007/il_570xN.2100000007_x1y2.jpg"
CDNS = st.sampled_from([REAL, LOCAL])

# Addresses put together of what people and attackers write; nearly all of them name another host in some reading.
SCHEMES = ["http:", "https:", "HTTP:", "ftp:", "file:", "javascript:", "//", "", "http:\t", "\nhttps:"]
HOSTS = [
    "//i.etsystatic.com",
    "//I.ETSYSTATIC.COM",
    "//127.0.0.1:8000",
    "//127.0.0.1:8000@evil.example",
    "//127.0.0.1:8000\\@evil.example",
    "//i.etsystatic.com@evil.example",
    "//i.etsystatic.com.evil.example",
    "//evil.example",
    "//evil.example#@i.etsystatic.com",
    "//evil.example?@i.etsystatic.com",
    "//user:word@i.etsystatic.com",
    "//i.etsystatic.com:8443",
    "//i.etsystatic.com:none",
    "//127.0.0.1",
    "//127.0.0.1:80",
    "//[::1]:8000",
    "//[",
    "/\\evil.example",
    "\\\\evil.example",
    "///evil.example",
    "",
]
PATHS = [
    "/il/ab12cd/5/il_570xN.5_x1.jpg",
    "/5/r/il/ab12cd/5/il_570xN.5_x1.jpg?version=0",
    "",
    "/",
    "/..",
    "/../..//evil.example/",
    "/a/../../sandbox/stats",
    "//evil.example/x",
    "/\r\nx-api-key: stolen",
    "/ x",
    "/\u00e9\u4e2d",
    "/x#part",
    "/x?to=http://evil.example",
    "/%2e%2e/%2f",
]
WRITTEN = st.one_of(
    st.text(max_size=60),
    st.builds(lambda *parts: "".join(parts), *map(st.sampled_from, (SCHEMES, HOSTS, PATHS))),
)


def host_of(url: str) -> tuple[str | None, str | None, int | None]:
    """Return where a request to this address goes, as urllib3 reads it: by other rules than the standard library."""
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port


def outcome_of(cdn: str, hex_part: str, suffix: str, kept: str | None) -> str:
    with pytest.raises(Refused) as caught:
        picture_url(cdn, 5, hex_part, suffix, kept)
    return caught.value.outcome


# Built from hex and suffix


@pytest.mark.parametrize("cdn", [REAL, LOCAL])
def test_it_is_built_from_the_row_below_the_host_that_the_settings_name(cdn: str) -> None:
    url = picture_url(cdn, 2_100_000_007, "ab12cd", "x1y2", None)
    assert url == f"{cdn}/il/ab12cd/2100000007/il_570xN.2100000007_x1y2.jpg"


@pytest.mark.parametrize(
    ("hex_part", "suffix"),
    [
        ("", "x1"),
        ("ab", ""),
        ("../..", "x1"),
        ("ab/cd", "x1"),
        ("ab", "x1.jpg?"),
        ("ab", "x 1"),
        ("ab", "x1\r\nx-api-key"),
        ("ab\n", "x1"),
        ("a" * 65, "x1"),
        ("\u0661\u0662", "x1"),
    ],
)
def test_a_row_with_parts_that_no_address_has_is_refused(hex_part: str, suffix: str) -> None:
    assert outcome_of(REAL, hex_part, suffix, None) == "bad_address"


@given(CDNS, st.integers(0, 2**63 - 1), st.text(max_size=40), st.text(max_size=40))
def test_whatever_the_row_says_the_host_is_the_one_of_the_settings(
    cdn: str, image_id: int, hex_part: str, suffix: str
) -> None:
    try:
        url = picture_url(cdn, image_id, hex_part, suffix, None)
    except Refused as refused:
        assert refused.outcome == "bad_address"
    else:
        assert url.startswith(f"{cdn}/il/") and host_of(url) == host_of(cdn)


# Kept whole in the row


@pytest.mark.parametrize(
    "path", ["/5/r/il/ab12cd/5/il_570xN.5_x1.jpg", "/5/c/1000/794/0/196/il/ab/5/il_340x270.5_x1.jpg?version=0"]
)
def test_an_address_that_etsy_wrote_is_asked_for_at_the_host_of_the_settings(path: str) -> None:
    for scheme in ("https", "http"):
        assert picture_url(LOCAL, 5, "", "", f"{scheme}://i.etsystatic.com{path}") == LOCAL + path
        assert picture_url(REAL, 5, "", "", f"{scheme}://i.etsystatic.com{path}") == REAL + path


def test_an_address_at_the_host_of_the_settings_is_taken_as_it_is() -> None:
    assert picture_url(LOCAL, 5, "", "", ASKED) == ASKED


@pytest.mark.parametrize(
    ("kept", "outcome"),
    [
        ("https://evil.example/il/ab/5/il_570xN.5_x1.jpg", "foreign_host"),
        ("https://i.etsystatic.com.evil.example/x.jpg", "foreign_host"),
        ("https://i.etsystatic.com@evil.example/x.jpg", "foreign_host"),
        ("http://127.0.0.1:8000@evil.example/x.jpg", "foreign_host"),
        ("http://127.0.0.1:8001/cdn/x.jpg", "foreign_host"),
        ("http://localhost:8000/cdn/x.jpg", "foreign_host"),
        ("https://127.0.0.1:8000/cdn/x.jpg", "foreign_host"),
        ("http://169.254.169.254/latest/meta-data", "foreign_host"),
        ("ftp://i.etsystatic.com/x.jpg", "bad_address"),
        ("file:///etc/passwd", "bad_address"),
        ("", "bad_address"),
        ("x.jpg", "bad_address"),
        ("http://[/x.jpg", "bad_address"),
        ("https://i.etsystatic.com", "bad_address"),
        ("https://i.etsystatic.com/../sandbox/stats", "bad_address"),
        ("https://i.etsystatic.com/il\n/x.jpg", "bad_address"),
        ("http:/\n/127.0.0.1:8000/x.jpg", "bad_address"),
        ("https://i.etsystatic.com/a b.jpg", "bad_address"),
        ("https://i.etsystatic.com/a.jpg?x=<script>", "bad_address"),
        ("https://i.etsystatic.com/" + "a" * 500, "bad_address"),
    ],
)
def test_an_address_of_another_host_or_of_no_form_is_refused_by_name(kept: str, outcome: str) -> None:
    assert outcome_of(LOCAL, "ab", "x1", kept) == outcome


@given(CDNS, WRITTEN)
@example(LOCAL, "http:/\n/127.0.0.1:8000/x.jpg")
@settings(max_examples=400)
def test_whatever_address_a_row_keeps_no_other_host_is_asked(cdn: str, kept: str) -> None:
    try:
        url = picture_url(cdn, 5, "ab", "x1", kept)
    except Refused as refused:
        assert refused.outcome in ("bad_address", "foreign_host")
    else:
        assert host_of(url) == host_of(cdn)
        assert parse_url(url).auth is None


# Redirects


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/cdn/il/x.jpg", "http://127.0.0.1:8000/cdn/il/x.jpg"),
        ("y.jpg", "http://127.0.0.1:8000/cdn/il/ab12cd/2100000007/y.jpg"),
        ("?again=1", f"{ASKED}?again=1"),
        ("http://127.0.0.1:8000/cdn/z.jpg", "http://127.0.0.1:8000/cdn/z.jpg"),
        ("HTTP://127.0.0.1:8000/cdn/z.jpg", "http://127.0.0.1:8000/cdn/z.jpg"),
        ("//127.0.0.1:8000/cdn/z.jpg", "http://127.0.0.1:8000/cdn/z.jpg"),
    ],
)
def test_a_redirect_within_the_host_is_followed(location: str, leads_to: str) -> None:
    assert redirect_url(LOCAL, ASKED, location) == leads_to


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/x.jpg",
        "HTTP://127.0.0.1:8001/cdn/x.jpg",
        "//evil.example/x.jpg",
        "https://127.0.0.1:8000/cdn/x.jpg",
        "http://127.0.0.1:8001/cdn/x.jpg",
        "http://127.0.0.1/cdn/x.jpg",
        "http://user@127.0.0.1:8000/cdn/x.jpg",
        "http://127.0.0.1:8000@evil.example/x.jpg",
        "http://127.0.0.1:99999999/x.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(Refused) as caught:
        redirect_url(LOCAL, ASKED, location)
    assert caught.value.outcome == "redirected"


@pytest.mark.parametrize("location", ["http://[/x", "//[", "http://]/x"])
def test_a_redirect_to_what_is_no_address_is_refused(location: str) -> None:
    with pytest.raises(Refused) as caught:
        redirect_url(LOCAL, ASKED, location)
    assert caught.value.outcome == "redirected"


@given(WRITTEN)
@example("http://[/x")
@settings(max_examples=400)
def test_whatever_a_redirect_says_no_other_host_is_asked(location: str) -> None:
    try:
        url = redirect_url(LOCAL, ASKED, location)
    except Refused as refused:
        assert refused.outcome == "redirected"
    else:
        assert host_of(url) == host_of(LOCAL)
        assert parse_url(url).auth is None

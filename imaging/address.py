"""The address of a picture: built from the row, and never one of another host. Pure."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from imaging.check import Refused

HEX = re.compile(r"[0-9a-zA-Z]{1,64}")
SUFFIX = re.compile(r"[0-9a-zA-Z_-]{1,32}")
PATH = re.compile(r"/[A-Za-z0-9/_.,%+~-]{1,400}")
QUERY = re.compile(r"[A-Za-z0-9=&_.,%+~-]{0,200}")
REAL_HOST = "i.etsystatic.com"


def picture_url(cdn_url: str, image_id: int, hex_part: str, suffix: str, kept_url: str | None) -> str:
    """Return the address below `cdn_url`; Refused where the row names none, or one of another host.

    Addresses that Etsy wrote in full name its own host; with ETSY_CDN_URL set to another one (the sandbox's), the
    same path is asked for there.
    """
    if kept_url is None:
        if not HEX.fullmatch(hex_part) or not SUFFIX.fullmatch(suffix):
            raise Refused("bad_address", f"hex {hex_part[:80]!r}, suffix {suffix[:80]!r}")
        return f"{cdn_url}/il/{hex_part}/{image_id}/il_570xN.{image_id}_{suffix}.jpg"
    try:
        parts = urlsplit(kept_url)
        host = parts.hostname
    except ValueError as error:
        raise Refused("bad_address", kept_url[:200]) from error
    if parts.scheme not in ("http", "https") or not PATH.fullmatch(parts.path) or not QUERY.fullmatch(parts.query):
        raise Refused("bad_address", kept_url[:200])
    if "/../" in parts.path or parts.path.endswith("/.."):
        raise Refused("bad_address", kept_url[:200])
    if host == REAL_HOST:
        return cdn_url + parts.path + (f"?{parts.query}" if parts.query else "")
    if not is_same_host(kept_url, cdn_url):
        raise Refused("foreign_host", kept_url[:200])
    return kept_url


def redirect_url(cdn_url: str, asked_url: str, location: str) -> str:
    """Return where a redirect leads; Refused where that is another host."""
    target = urljoin(asked_url, location)
    if not is_same_host(target, cdn_url):
        raise Refused("redirected", f"to {target[:200]}")
    return target


def is_same_host(url: str, cdn_url: str) -> bool:
    """Return whether both addresses lead to the same scheme, host and port, and name no user."""
    try:
        one, other = urlsplit(url), urlsplit(cdn_url)
        return (one.scheme, one.netloc.lower()) == (other.scheme, other.netloc.lower())
    except ValueError:
        return False

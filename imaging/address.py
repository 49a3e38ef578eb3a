"""The address of a picture: built from the row, and never one of another host. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

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
    parts = _split(kept_url)
    if parts is None or not PATH.fullmatch(parts.path) or not QUERY.fullmatch(parts.query) or ".." in parts.path:
        raise Refused("bad_address", kept_url[:200])
    if parts.hostname != REAL_HOST and not _is_at(parts, cdn_url):
        raise Refused("foreign_host", kept_url[:200])
    # Put together anew from what was judged: nobody reads the stranger's text a second time, and differently.
    own = urlsplit(cdn_url)
    base = cdn_url if parts.hostname == REAL_HOST else f"{own.scheme}://{own.netloc}"
    return base + parts.path + (f"?{parts.query}" if parts.query else "")


def redirect_url(cdn_url: str, asked_url: str, location: str) -> str:
    """Return where a redirect leads; Refused where that is another host."""
    try:
        target = urljoin(asked_url, location)
    except ValueError as error:
        raise Refused("redirected", f"to {location[:200]}") from error
    parts = _split(target)
    if parts is None or not _is_at(parts, cdn_url) or not PATH.fullmatch(parts.path):
        raise Refused("redirected", f"to {target[:200]}")
    return target


def _split(url: str) -> SplitResult | None:
    """Return the parts of a web address, None where it is none; what urlsplit would drop in silence is refused."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.scheme in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def _is_at(parts: SplitResult, cdn_url: str) -> bool:
    """Return whether the address has the scheme, host and port of the picture host, and names no user."""
    own = urlsplit(cdn_url)
    return (parts.scheme, parts.netloc.lower()) == (own.scheme, own.netloc.lower())

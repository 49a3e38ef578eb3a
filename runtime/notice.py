"""Etsy's notice, which stands wherever its data are shown."""

from __future__ import annotations

NOTICE = (
    "The term 'Etsy' is a trademark of Etsy, Inc. This application uses Etsy's API, but is not endorsed or certified "
    "by Etsy."
)

"""The platforms that artworks are published on: one small interface for shops, one for social networks."""

from __future__ import annotations

from publishing.platforms.platform import Posted, ShopPlatform, SocialPlatform
from publishing.platforms.unconnected import UnconnectedShop, UnconnectedSocial

SHOPS = ("shopify", "etsy", "ebay", "amazon")
SOCIALS = ("instagram", "tiktok", "facebook", "pinterest")
POST_TYPES = ("post", "story", "reel", "pin")

__all__ = [
    "POST_TYPES",
    "SHOPS",
    "SOCIALS",
    "Posted",
    "ShopPlatform",
    "SocialPlatform",
    "UnconnectedShop",
    "UnconnectedSocial",
]

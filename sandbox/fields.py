"""Groups of fields that listings, shops and images have beyond what the market keeps of them."""

from __future__ import annotations

import colorsys
from random import Random
from typing import Any

from sandbox.words import materials_of, pick, tags_of
from sandbox.world import Shop

Json = dict[str, Any]

MAKERS = ("i_did", "i_did", "i_did", "collective", "someone_else", None)
WEIGHT_UNITS = ("oz", "lb", "g", "kg")
LENGTH_UNITS = ("in", "ft", "mm", "cm", "m")
MASK = (1 << 64) - 1
SIDES = ("length", "width", "height")


def features(rng: Random, material: str) -> Json:
    """Return the fields of a listing that follow from neither its numbers nor its texts."""
    heavy, measured, hurry = rng.random(), rng.random() < 0.12, 1 + int(15 * rng.random())
    made_for_you = rng.random() < 0.9
    return {
        "non_taxable": False,
        "is_taxable": True,
        "is_customizable": rng.random() < 0.2,
        "is_personalizable": rng.random() < 0.3,
        "listing_type": "physical" if rng.random() < 0.985 else pick(rng, ("download", "both")),
        "tags": tags_of(rng),
        "materials": materials_of(rng, material),
        "shipping_profile_id": None,
        "return_policy_id": None,
        "processing_min": hurry if made_for_you else None,
        "processing_max": hurry + int(11 * rng.random()) if made_for_you else None,
        "who_made": pick(rng, MAKERS),
        "is_supply": pick(rng, (None, False, True)),
        "item_weight": None if heavy < 0.87 else 0 if heavy < 0.90 else round(rng.uniform(1, 2000), 1),
        "item_weight_unit": None if heavy < 0.87 else pick(rng, WEIGHT_UNITS),
        **{f"item_{side}": round(rng.uniform(5, 90), 1) if measured else None for side in SIDES},
        "item_dimensions_unit": pick(rng, LENGTH_UNITS) if measured else None,
        "is_private": False,
        "style": [],
        "file_data": None,
        "has_variations": rng.random() < 0.4,
        "should_auto_renew": rng.random() < 0.7,
        **dict.fromkeys(("rich_description", "converted_price", "readiness_state_id", "suggested_title")),
    }


def policies(rng: Random) -> Json:
    """Return a shop's policies, which hardly anybody writes down any more."""
    names = ("welcome", "payment", "shipping", "refunds", "additional", "seller_info")
    return {
        **dict.fromkeys(f"policy_{name}" for name in names),
        "policy_update_date": 0 if rng.random() < 0.5 else 1_600_000_000,
        "policy_has_private_receipt_info": False,
        "has_unstructured_policies": False,
        "policy_privacy": None,
        "vacation_autoreply": None,
    }


def standings(rng: Random) -> Json:
    """Return how far a shop takes part in Etsy's programmes."""
    return {
        "is_using_structured_policies": rng.random() < 0.8,
        "has_onboarded_structured_policies": True,
        "include_dispute_form_link": False,
        "is_direct_checkout_onboarded": True,
        "is_etsy_payments_onboarded": True,
        "is_calculated_eligible": rng.random() < 0.5,
        "is_opted_in_to_buyer_promise": False,
    }


def tone_of(colour: tuple[int, int, int]) -> Json:
    """Return the fields of an image that tell its dominant colour (red, green, blue, 0 to 255)."""
    red, green, blue = colour
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    return {
        "hex_code": f"{red:02X}{green:02X}{blue:02X}",
        "red": red,
        "green": green,
        "blue": blue,
        "hue": int(hue * 360),
        "saturation": int(saturation * 100),
        "brightness": int(value * 100),
        "is_black_and_white": False,
    }


def user_id(shop: Shop) -> int:
    """Return the id of the shop's owner."""
    return 1_000_000_000 + shop.number


def mixed(number: int) -> int:
    """Return 64 bits that look drawn by chance; a tenth of the price of seeding a generator."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
    return number ^ number >> 31

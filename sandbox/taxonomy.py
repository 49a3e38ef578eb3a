"""Etsy's furniture categories, and a few others to be confused by.

The 49 nodes of Home & Living > Furniture are the real ones of May 2026. The seller's tree and
the buyer's tree differ: a search filters by the buyer's, where three of the seller's leaves are unknown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

HOME = 891
FURNITURE = 967
SELLER_ONLY = frozenset({12405, 12369, 12370})


class Node(NamedTuple):
    """One category: its place in the tree, its share of the market, and what its pieces look like."""

    id: int
    parent_id: int | None
    name: str
    weight: int
    kind: str


NODES: tuple[Node, ...] = (
    Node(HOME, None, "Home & Living", 0, "lamp"),
    Node(FURNITURE, HOME, "Furniture", 4, "table"),
    Node(968, FURNITURE, "Bedroom Furniture", 6, "cabinet"),
    Node(969, 968, "Beds & Headboards", 8, "bed"),
    Node(12455, 969, "Bed Frames", 40, "bed"),
    Node(12456, 969, "Headboards", 25, "headboard"),
    Node(970, 968, "Dressers & Armoires", 45, "dresser"),
    Node(972, 968, "Nightstands", 45, "nightstand"),
    Node(971, 968, "Steps & Stools", 8, "stool"),
    Node(12470, 968, "Vanity Tables", 12, "desk"),
    Node(973, FURNITURE, "Dining Room Furniture", 5, "table"),
    Node(974, 973, "Buffets & China Cabinets", 25, "dresser"),
    Node(975, 973, "Dining Chairs", 45, "chair"),
    Node(976, 973, "Dining Sets", 12, "table"),
    Node(977, 973, "Kitchen & Dining Tables", 60, "table"),
    Node(11837, 973, "Kitchen Islands", 10, "cabinet"),
    Node(978, 973, "Stools & Banquettes", 30, "stool"),
    Node(979, FURNITURE, "Entryway & Mudroom Furniture", 10, "bench"),
    Node(12403, 979, "Hall Trees", 8, "rack"),
    Node(12405, 979, "Standing Coat Racks", 15, "rack"),
    Node(12406, 979, "Umbrella Stands", 6, "pouf"),
    Node(980, FURNITURE, "Kids' Furniture", 8, "stool"),
    Node(981, 980, "Bean Bag Chairs", 12, "pouf"),
    Node(982, 980, "Benches & Toy Boxes", 10, "trunk"),
    Node(983, 980, "Bookcases", 12, "shelf"),
    Node(985, 980, "Desks, Tables & Chairs", 25, "desk"),
    Node(986, 980, "Dressers & Drawers", 6, "dresser"),
    Node(987, 980, "Steps & Stools", 15, "stool"),
    Node(988, 980, "Toddler Beds", 18, "bed"),
    Node(989, FURNITURE, "Living Room Furniture", 5, "sofa"),
    Node(990, 989, "Benches & Trunks", 8, "bench"),
    Node(12369, 990, "Benches", 30, "bench"),
    Node(12370, 990, "Trunks", 20, "trunk"),
    Node(991, 989, "Bookshelves", 45, "shelf"),
    Node(992, 989, "Chairs", 70, "chair"),
    Node(993, 989, "Coffee & End Tables", 12, "table"),
    Node(12371, 993, "Coffee Tables", 75, "table"),
    Node(12372, 993, "End Tables", 55, "nightstand"),
    Node(994, 989, "Console Tables & Cabinets", 10, "cabinet"),
    Node(11355, 994, "Console & Sofa Tables", 40, "desk"),
    Node(11356, 994, "TV Stands & Media Centers", 30, "cabinet"),
    Node(998, 989, "Couches & Loveseats", 40, "sofa"),
    Node(996, 989, "Floor Pillows", 30, "pouf"),
    Node(12468, 989, "Ottomans & Poufs", 35, "pouf"),
    Node(12216, 989, "Room Dividers", 20, "divider"),
    Node(997, 989, "Slipcovers", 8, "sofa"),
    Node(999, FURNITURE, "Office Furniture", 4, "desk"),
    Node(1000, 999, "Desk Chairs", 15, "chair"),
    Node(1001, 999, "Desks", 45, "desk"),
    Node(12408, 999, "Filing Cabinets", 6, "dresser"),
    Node(892, HOME, "Lighting", 0, "lamp"),
    Node(893, 892, "Lamps", 0, "lamp"),
    Node(895, HOME, "Rugs", 0, "lamp"),
    Node(1, None, "Accessories", 0, "lamp"),
    Node(2, 1, "Hats & Head Coverings", 0, "lamp"),
    Node(68887494, None, "Vintage Toys & Games", 0, "lamp"),
)
BY_ID: dict[int, Node] = {node.id: node for node in NODES}
FURNITURE_NODES: tuple[Node, ...] = tuple(node for node in NODES if node.weight)
OTHER_NODES: tuple[Node, ...] = tuple(node for node in NODES if node.weight == 0 and node.parent_id)


def path_ids(node: Node) -> list[int]:
    """Return the ids from the root down to the node, both included."""
    above = [] if node.parent_id is None else path_ids(BY_ID[node.parent_id])
    return [*above, node.id]


def _descendants() -> dict[int, frozenset[int]]:
    below: dict[int, set[int]] = {node.id: set() for node in NODES}
    for node in NODES:
        for above in path_ids(node):
            below[above].add(node.id)
    return {root: frozenset(ids) for root, ids in below.items()}


DESCENDANTS: dict[int, frozenset[int]] = _descendants()
"""Category id → the ids at or below it."""


def filter_ids(taxonomy_id: int) -> frozenset[int] | None:
    """Return the categories that a search for this id covers, or None where Etsy would not filter at all."""
    if taxonomy_id in SELLER_ONLY:
        return None
    return DESCENDANTS.get(taxonomy_id)


def tree(hidden: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    """Return the nested nodes as the taxonomy endpoints send them, without the hidden ids."""
    grown: dict[int, dict[str, Any]] = {}
    roots: list[dict[str, Any]] = []
    for node in NODES:
        if node.id in hidden:
            continue
        path = path_ids(node)
        grown[node.id] = {
            "id": node.id,
            "level": len(path),
            "name": node.name,
            "parent_id": node.parent_id,
            "children": [],
            "full_path_taxonomy_ids": path,
        }
        siblings = roots if node.parent_id is None else grown[node.parent_id]["children"]
        siblings.append(grown[node.id])
    return roots

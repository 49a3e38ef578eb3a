"""Any JSON: values that are legal and that nobody expects."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 127, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**4200),
    *(0.0, -0.0, 0.1, 5.455, 5e-324, 1.7976931348623157e308, 1e19, -1e19, 1e22, 2.0**63, 9.3e18),
    *(float("inf"), float("-inf"), float("nan")),  # Python's json reads and writes them, as NaN and Infinity
)
HUGE = 10**5000
"""An integer whose digits Python refuses to write; no text can bring it, only Python itself."""
TEXTS = (
    *("", " ", "0", "1", "-1", "5.45", "1e5", "1e400", "NaN", "Infinity", "true", "null", "[]", "{}", "1_000", "0x10"),
    *("\x00", "a\x00b", "\x1b[2J", "line\nline", "\r\n", "\u2028", "\ufeff", "\ud83d", "\udc00\ud800", "\U0010ffff"),
    *("١٢٣", "²", "Ⅷ", "１２", "𝟙", "é", "e\u0301", "İ", "ß", "🪑" * 9, "[/b]", "[bold]", "{0}", "%s", "${HOME}"),
    *("&#39;", "&#0;", "&#xD800;", "&#9999999;", "&amp;amp;", "&" * 40, "'; DROP TABLE listings; --", "../../etc"),
    *("9" * 18, "9" * 19, "9" * 25, "9" * 5000, "x" * 3000, "-" * 30, "before_2007", "2020_2026", "made_to_order"),
    *("https://i.etsystatic.com/1/r/il/ab12/77/il_570xN.77_x1.jpg", "https://[", "http://h:99999/", "file:///etc"),
    *("Missing listing_ids: 1,2.", "Offset provided is greater than the maximum offset allowed.", "daily"),
)
DEPTHS = (30, 490, 1020)
WORDS = (
    *("count", "results", "listing_id", "shop_id", "shop", "images", "price", "amount", "divisor", "currency_code"),
    *("when_made", "tags", "materials", "production_partners", "state", "title", "quantity", "item_weight", "rank"),
    *("listing_image_id", "url_570xN", "url_fullxfull", "id", "name", "children", "transaction_id", "create_timestamp"),
    *("created_timestamp", "buyer_user_id", "rating", "review", "language", "review_count", "review_average", "error"),
    *("error_description", "message", "is_customizable", "taxonomy_id", "transaction_sold_count", "create_date"),
)
numbers = st.integers() | st.floats() | st.sampled_from(NUMBERS)
texts = st.sampled_from(TEXTS) | st.text(alphabet=st.characters(codec=None), max_size=20)
words = st.sampled_from(WORDS)
leaves = st.none() | st.booleans() | numbers | texts


class Json:
    """A value that may be nested deeper than Python could print it; no dataclass, whose parts would be printed."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        for write in (repr, reprlib.repr):
            try:
                return f"Json({write(self.value)})"
            except (RecursionError, ValueError):  # nested too deep, or an integer of thousands of digits
                continue
        return f"<{type(self.value).__name__}>"


def nested(leaf: Any, depth: int, key: str) -> Any:
    """Return the leaf below so many lists, or objects where a key is given."""
    for _ in range(depth):
        leaf = {key: leaf} if key else [leaf]
    return leaf


@st.composite
def made(draw: st.DrawFn, make: Callable[..., Any], *parts: st.SearchStrategy[Any]) -> Any:
    """Return what `make` makes of the parts; a failure shows that alone, and not how, which may be too deep to show."""
    return make(*map(draw, parts))


deep = made(nested, leaves, st.sampled_from(DEPTHS), st.just("") | words)
values = (
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | texts, inner, max_size=6),
        max_leaves=20,
    )
    | deep
)
rows = st.dictionaries(words, leaves | st.lists(leaves, max_size=3) | deep, max_size=8)
"""Objects with the keys that Etsy's have."""
answers = st.one_of(
    values,
    rows,
    st.lists(rows | values, max_size=4),
    st.builds(lambda found, count: {"count": count, "results": found}, st.lists(rows | values, max_size=4), values),
)
"""What could be read as an answer, and anything else."""

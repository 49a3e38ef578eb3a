"""A home with a data set that the real crawler made, and the commands of upkeep on it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from runtime.settings import Settings, load_settings
from tests.rig import KEY, Rig

VECTORS = "data/embeddings/store/clip_vitb32/00000.f16"
FILES = {
    "settings.toml": "cycle_days = 3\n",
    ".env": f"ETSY_API_KEY={KEY}\n",
    "data/db/qps_config.json": '{"qps": 5}',
    VECTORS: "half precision" * 99,
}


def make_home(root: Path, until: str = "REVIEWS") -> Rig:
    """Return a rig that has crawled into `root` up to this state, with settings and vectors beside the database."""
    rig = Rig(root)
    rig.run_until(until)
    rig.close()
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return rig


def run(command: Callable[[Settings, Console], int], root: Path, **told: str) -> str:
    """Run a command on the home and return what it says; it succeeds."""
    out = io.StringIO()
    assert command(settings_of(root, **told), Console(file=out, width=300)) == 0
    return out.getvalue()


def settings_of(root: Path, **told: str) -> Settings:
    """Return the settings of the home."""
    return load_settings(root, {"ETSY_API_KEY": KEY, **told})

"""`run.py embed-worker` with the small embedders: python -m tests.search.small_helper HOME ADDRESS [NOISE]."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from runtime.errors import CrawlError
from runtime.parts import Parts
from runtime.settings import load_settings
from search.helper_command import embed_worker
from search.wiring import Kit
from tests.search.home import small_kit
from tests.search.small import SmallEmbedder


def noisy_kit(noise: float, parts: Parts) -> Kit:
    """Return embedders that add noise to what they see."""
    return replace(small_kit(parts), load=lambda name: SmallEmbedder(name, noise=noise))


if __name__ == "__main__":
    noise = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    home = Path(sys.argv[1])
    try:
        sys.exit(embed_worker(load_settings(home, {}), Console(), sys.argv[2], partial(noisy_kit, noise)))
    except CrawlError as error:
        sys.exit(error.words())

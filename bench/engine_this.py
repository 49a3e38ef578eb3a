"""This program's contestant of `bench/engine.py`: the crawler as `run.py` builds it, until it enters VERIFY.

    python -m bench.engine_this BASE_URL HOME/data/db/etsy_data.db ENDED.json

Its own composition root, HTTP wire, SQLite file and pragmas; without the live display and the downloads.
qps_config.json says 1,000, the most that it takes, which no answer is fast enough to meet. The moments of the last
calls stay in memory: in their file there are five, and would be a thousand.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console

from bench.engine_rows import note_end
from crawler.api.limiter import SlotFile
from crawler.outcome import Outcome, Position
from crawler.parts import build_parts, open_for_writing
from crawler.wiring import build_calling, build_engine
from runtime.files import write_json
from runtime.interpreter import suit_a_crawl
from runtime.settings import load_settings

QPS = 1_000


def main(base_url: str, database_file: str, ended: str) -> None:
    """Crawl until everything is fetched."""
    settings = load_settings(Path(database_file).parents[2], {"ETSY_API_KEY": "key:secret", "ETSY_API_URL": base_url})
    parts = build_parts(settings, Console(quiet=True))
    write_json(parts.home.data / "qps_config.json", {"qps": QPS})
    database = open_for_writing(parts)

    def observe(position: Position, _outcome: Outcome | None) -> None:
        if position.state == "VERIFY":
            note_end(ended, time.monotonic(), began)
            parts.stop.ask("the benchmark")

    engine = build_engine(parts, database, build_calling(parts, slots=SlotFile(None)), observe)
    suit_a_crawl()
    began = time.process_time()
    engine.run()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

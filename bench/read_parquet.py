"""Prints what img2dataset's tables say: shard, key, status and address of each picture, one a line.

Started with the peers' Python and one argument, img2dataset's output folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet


def main(folder: Path) -> None:
    """Print the rows of every shard's table."""
    for path in sorted(folder.glob("*.parquet")):
        for row in pyarrow.parquet.read_table(path, columns=["key", "status", "url"]).to_pylist():
            print(path.stem, row["key"], row["status"], row["url"], sep="\t")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

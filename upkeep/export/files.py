"""Writing one table as Parquet and, where asked for, CSV; counted and hashed on the way to the disk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from runtime.files import sync_file, trouble_in_words

GROUP_ROWS, GROUP_BYTES = 131_072, 16 << 20  # of a row group, whichever is reached first


@dataclass(frozen=True, slots=True)
class Written:
    """One file that is whole."""

    name: str
    rows: int
    columns: dict[str, str]
    bytes: int
    sha256: str


class Sink:
    """A file that is new, written from its beginning to its end, and its SHA-256."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> int:
        """Write and hash the bytes; once the file is closed they are dropped."""
        if not self._file.closed:  # a writer that is given up writes the end of its file all the same
            self._hash.update(data)
            self._file.write(data)
            self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.bytes

    def flush(self) -> None:
        """Do nothing; `settle` does it."""

    @property
    def closed(self) -> bool:
        """False: pyarrow asks before it writes."""
        return False

    @property
    def sha256(self) -> str:
        """The hash of what was written so far."""
        return self._hash.hexdigest()

    def settle(self) -> None:
        """Bring the file to the disk."""
        self._file.flush()
        sync_file(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, whole or not."""
        with contextlib.suppress(OSError):  # of a disk that is full; what counts was settled before
            self._file.close()


class Writer(Protocol):
    """What pyarrow's writers have in common."""

    def write_table(self, table: pa.Table) -> None:
        """Write the rows."""

    def close(self) -> None:
        """Write what stands at the file's end."""


class TableFiles:
    """One table's files; rows are gathered until they fill a row group."""

    def __init__(self, path: Path, schema: pa.Schema, with_csv: bool) -> None:
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._sinks: dict[str, Sink] = {}
        self._writers: list[Writer] = []
        # Not with_suffix: a name may have a point in it.
        parquet = self._open(path.with_name(f"{path.name}.parquet"))
        self._writers.append(pq.ParquetWriter(parquet, schema, compression="zstd"))
        if with_csv:
            text = self._open(path.with_name(f"{path.name}.csv"))
            self._writers.append(csv.CSVWriter(text, schema))

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Write the rows, now or with the next ones."""
        self._waiting += rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        self.rows += rows.num_rows
        number, size = (sum(getattr(batch, name) for batch in self._waiting) for name in ("num_rows", "nbytes"))
        if number >= GROUP_ROWS or size >= GROUP_BYTES:
            self._flush()

    def finish(self) -> list[Written]:
        """Write the rest and the files' ends, and bring all of it to the disk."""
        self._flush()
        self._end()
        for sink in self._sinks.values():
            sink.settle()
        columns = {field.name: str(field.type) for field in self._schema}
        return [Written(name, self.rows, columns, sink.bytes, sink.sha256) for name, sink in self._sinks.items()]

    def close(self) -> None:
        """Let go of the files, whole or not."""
        for sink in self._sinks.values():
            sink.close()
        self._end()

    def _end(self) -> None:
        while self._writers:
            self._writers.pop().close()

    def _open(self, path: Path) -> pa.PythonFile:
        self._sinks[path.name] = sink = Sink(path)
        return pa.PythonFile(sink, mode="w")

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting = []
            for writer in self._writers:
                writer.write_table(table)


@contextmanager
def table_files(path: Path, schema: pa.Schema, with_csv: bool) -> Iterator[TableFiles]:
    """Give the files of one table, named `path` and an ending; a disk's error is raised in words."""
    try:
        with ExitStack() as stack:
            files = TableFiles(path, schema, with_csv)
            stack.callback(files.close)
            yield files
    except OSError as error:
        raise trouble_in_words(error, path.parent) from error

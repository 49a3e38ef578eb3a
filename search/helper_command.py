"""The sub-command `embed-worker`: this machine's models at the service of another one's `embed`.

It has no database and no pictures of its own: bytes come, vectors go. When the home ends, it waits for the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Status, Worker
from distributed.security import Security
from rich.console import Console

from runtime.errors import UserMistake
from runtime.instance import at_work_on
from runtime.logs import set_up_logs
from runtime.parts import Parts
from runtime.settings import LISTEN, Settings
from search.certificates import FOLDER, load_security
from search.wiring import KILL_BG, KILL_EMBED, KILL_ORCH, Kit, build_kit, build_parts
from search.work import Workbench

WORK = "embed-worker"  # also the name of its lock and log
LOOK_SECONDS, AGAIN_SECONDS = 0.25, 5.0
DASK = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "5 s",
    "distributed.admin.log-length": 0,
}
log = logging.getLogger(__name__)


def embed_worker(settings: Settings, console: Console, address: str, build: Callable[[Parts], Kit] = build_kit) -> int:
    """Work for the home at this address until stopped; exit status 0."""
    if not LISTEN.fullmatch(address):
        raise UserMistake(f"{address!r} is no address like 192.168.1.5:8786.", advice="Take that of EMBED_ADDRESS.")
    parts = build_parts(settings, console, KILL_ORCH, KILL_EMBED, KILL_BG)
    with at_work_on(parts.home, parts.home.lock_of(WORK), parts.clock):
        set_up_logs(parts.home.logs, WORK, settings.secrets, console)
        for name in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        parts.stop.clear_old_files()
        with parts.stop.signals(), TemporaryDirectory(prefix="embed-worker-") as scratch:
            kit = build(parts)
            log.info("This machine: %s.", kit.machine)
            name = f"{platform.node()}-{os.getpid()}"
            bench = Workbench(name, kit.models, kit.load, kit.load_remover, parts.clock, parts.stop.raise_if_requested)
            security = load_security(parts.home.embeddings / FOLDER)
            asyncio.run(_serve(parts, f"tls://{address}", security, bench, Path(scratch)))
        parts.stop.obeyed()
    console.print(f"Stopped by {parts.stop.reason}.", highlight=False)
    return 0


async def _serve(parts: Parts, address: str, security: Security, bench: Workbench, scratch: Path) -> None:
    """Join the home whenever it is there."""
    dask.config.set(DASK)
    told = False
    while not parts.stop.requested():
        try:
            await _work(parts, address, security, bench, scratch)
            told = False
        except (OSError, TimeoutError, RuntimeError) as error:
            if not told:
                log.info("No home answers at %s (%s); trying again until one does.", address, error)
            told = True
        for _ in range(round(AGAIN_SECONDS / LOOK_SECONDS)):
            if not parts.stop.requested():
                await asyncio.sleep(LOOK_SECONDS)


async def _work(parts: Parts, address: str, security: Security, bench: Workbench, scratch: Path) -> None:
    worker: Any = Worker(
        address,
        nthreads=1,
        name=bench.worker,
        security=security,
        protocol="tls",
        local_directory=str(scratch),
        dashboard=False,
        memory_limit=0,
        death_timeout=AGAIN_SECONDS,
    )
    worker.bench = bench
    try:
        await worker
        log.info("Working for %s as %s.", address, bench.worker)
        while worker.status == Status.running and not parts.stop.requested():
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await worker.close(timeout=1, executor_wait=False)

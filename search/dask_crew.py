"""Helpers over the network, with Dask as the transport: tasks out, results back, and who is there.

Dask may run a task twice, and forgets everything when this process ends. Neither matters: a task is a name and some
bytes, whoever does it does the same, and the store takes each result once.
"""

from __future__ import annotations

import itertools
import logging
import queue
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, LocalCluster, get_worker
from distributed.security import Security

from runtime.errors import OperatorNeeded, Stopped
from search.crew import AHEAD
from search.tasks import Failure, Result, Task

DASK = {
    "distributed.scheduler.worker-ttl": "60 s",  # a helper that sleeps or hangs is taken for gone after that
    "distributed.scheduler.allowed-failures": 0,  # a task is given out again by us, not by Dask
    "distributed.comm.timeouts.connect": "10 s",
    "distributed.admin.log-length": 0,
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that is with a helper."""

    task_id: str
    worker: str
    future: Any


class DaskCrew:
    """The helpers that have joined; a context of its own threads until it is closed."""

    def __init__(self, address: str, security: Security) -> None:
        host, _, port = address.rpartition(":")
        dask.config.set(DASK)
        for name in ("distributed", "tornado", "bokeh"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            self._cluster = LocalCluster(
                n_workers=0,
                processes=False,
                host=host,
                scheduler_port=int(port),
                protocol="tls",
                security=security,
                dashboard_address=None,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise OperatorNeeded(
                f"Helpers cannot be waited for on {address} ({error}).",
                advice="Is the port in use? Set EMBED_ADDRESS to another one, or to nothing to work without helpers.",
            ) from error
        self._client = Client(self._cluster, security=security, set_as_default=False)
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._sent: dict[Any, Sent] = {}
        self._under_way: Counter[str] = Counter()
        self._numbers = itertools.count()

    def workers(self) -> Sequence[str]:
        """Return the helpers by the names that they gave themselves."""
        return tuple(self._addresses())

    def has_room(self, worker: str) -> bool:
        """Return whether it has less than two tasks."""
        return self._under_way[worker] < AHEAD

    def begin(self, worker: str, task: Task) -> None:
        """Send the task; a helper that has gone meanwhile is missed by `workers`."""
        address = self._addresses().get(worker)
        if address is None:
            return
        # Bytes go to the helper itself, not through the scheduler; each try has a name of its own for Dask.
        try:
            held = self._client.scatter([task], workers=[address], direct=True, hash=False)[0]
        except OSError as error:  # it goes this very moment
            log.info("The worker %s cannot be reached: %s", worker, error)
            return
        key = f"{task.task_id}-{next(self._numbers)}"
        future = self._client.submit(
            do_task, held, key=key, workers=[address], allow_other_workers=False, retries=0, pure=False
        )
        self._sent[key] = Sent(task.task_id, worker, future)
        self._under_way[worker] += 1
        future.add_done_callback(self._done)

    def results(self, seconds: float) -> Sequence[Result]:
        """Return what came back."""
        try:
            return (self._results.get(timeout=seconds),)
        except queue.Empty:
            return ()

    def close(self) -> None:
        """Let the helpers go: they wait for the next home to appear."""
        self._sent.clear()
        self._client.close()
        self._cluster.close()

    def _addresses(self) -> dict[str, str]:
        """Return the addresses of the helpers by their names; forget what is with those that are gone."""
        known: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        found = {str(told["name"]): address for address, told in known.items()}
        for key, sent in list(self._sent.items()):
            if sent.worker not in found and self._sent.pop(key, None) is not None:
                self._under_way[sent.worker] -= 1
                sent.future.cancel()
        return found

    def _done(self, future: Any) -> None:
        """Take a finished task; called in a thread of Dask's."""
        sent = self._sent.pop(future.key, None)
        if sent is None:
            return
        self._under_way[sent.worker] -= 1
        try:
            self._results.put(future.result())
        except Stopped:
            log.info("The worker %s drops what it has.", sent.worker)
        except Exception as error:
            self._results.put(Failure(sent.task_id, sent.worker, f"{type(error).__name__}: {error}"))


def do_task(task: Task) -> Result:
    """Do a task on the helper on which this runs."""
    bench: Any = get_worker().bench
    result: Result = bench.do(task)
    return result

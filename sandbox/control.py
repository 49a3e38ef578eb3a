"""The sandbox's own endpoints, for other processes: what it counted, what is true, and how to trouble it.

GET /sandbox/stats, /sandbox/calls?since=n, /sandbox/truth; POST /sandbox/fault (JSON: the fields of
`Fault`), /sandbox/calm (disarms all faults), /sandbox/move?n=5, /sandbox/quota?per_day=100&per_second=5.
None of them is a call to Etsy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import orjson

from sandbox.answer import Answer, answer_bytes, answer_error, answer_json
from sandbox.faults import fault_from
from sandbox.sandbox import Sandbox

CONTROL_PREFIX = "/sandbox/"
Params = dict[str, str]


def control(sandbox: Sandbox, method: str, path: str, params: Params, body: bytes) -> Answer:
    """Answer one request to a control endpoint; what makes no sense gets a 400 that says why."""
    act = ACTIONS.get((method, path[len(CONTROL_PREFIX) :]))
    if act is None:
        return answer_error(404, f"No such control; there are {', '.join(' '.join(key) for key in ACTIONS)}.")
    try:
        return act(sandbox, params, body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return answer_error(400, f"That cannot be done: {error}")


def _stats(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    return answer_json(sandbox.stats())


def _calls(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    calls = sandbox.calls_since(int(params.get("since", "0")))
    return answer_json([asdict(call) for call in calls])


def _truth(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    return answer_bytes(orjson.dumps(asdict(sandbox.truth()), option=orjson.OPT_NON_STR_KEYS))


def _fault(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    given = orjson.loads(body)
    fault = fault_from(given.pop("name"), {key: value for key, value in given.items() if value is not None})
    sandbox.faults.add(fault)
    return answer_json(asdict(fault))


def _calm(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    sandbox.faults.clear()
    return answer_json({"faults": 0})


def _move(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    return answer_json([move._asdict() for move in sandbox.move(int(params.get("n", "1")))])


def _quota(sandbox: Sandbox, params: Params, body: bytes) -> Answer:
    sandbox.limits.set_quota(**{name: int(params[name]) for name in ("per_day", "per_second") if name in params})
    return answer_json({"per_day": sandbox.limits.per_day, "per_second": sandbox.limits.per_second})


ACTIONS: dict[tuple[str, str], Callable[[Sandbox, Params, bytes], Answer]] = {
    ("GET", "stats"): _stats,
    ("GET", "calls"): _calls,
    ("GET", "truth"): _truth,
    ("POST", "fault"): _fault,
    ("POST", "calm"): _calm,
    ("POST", "move"): _move,
    ("POST", "quota"): _quota,
}

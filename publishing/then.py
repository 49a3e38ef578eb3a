"""What a job is followed by: `then` in its payload lists commands that come, one by one, once it is completed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from publishing.jobs import COMMANDS
from publishing.troubles import JobFailed


def chain(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return commands with their payloads as a payload's `then` has them."""
    return [{"command_type": command, "payload": dict(payload)} for command, payload in steps]


def following(payload: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the command that comes next, with the rest of them in its payload; JobFailed where `then` is wrong."""
    steps = payload.get("then", [])
    if not isinstance(steps, list) or not all(_is_step(step) for step in steps):
        raise JobFailed("The payload's then must be a list of {command_type, payload}.", advice="Send it mended.")
    if not steps:
        return iter(())
    rest = {"then": steps[1:]} if steps[1:] else {}
    return iter([(steps[0]["command_type"], {**steps[0].get("payload", {}), **rest})])


def _is_step(step: Any) -> bool:
    return isinstance(step, dict) and step.get("command_type") in COMMANDS and isinstance(step.get("payload", {}), dict)

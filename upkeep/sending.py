"""Messages to the addresses in ALERTS, by Apprise: mail, push, chat."""

from __future__ import annotations

import logging

from apprise import Apprise

from runtime.errors import OperatorNeeded, UserMistake

log = logging.getLogger(__name__)


class Sender:
    """Sends to all addresses of the setting; UserMistake where one of them is none that Apprise knows."""

    def __init__(self, addresses: str) -> None:
        self._apprise = Apprise()
        bad = [number for number, one in enumerate(addresses.split(), 1) if not self._apprise.add(one)]
        if bad:
            raise UserMistake(
                f"ALERTS: address {', '.join(map(str, bad))} is none that Apprise knows.",
                advice="See https://github.com/caronc/apprise/wiki for how they are written.",
            )

    def __len__(self) -> int:
        return len(self._apprise)

    def send(self, title: str, body: str) -> None:
        """Send the message to all; OperatorNeeded where not all of them took it."""
        if not self._apprise.notify(title=title, body=body):
            raise OperatorNeeded(
                "Not every address in ALERTS took the message.",
                advice="What Apprise says of it is in logs/alerts.log; it is tried again.",
            )

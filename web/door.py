"""The sub-command of the page as run.py offers it."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.door import Door, no_arguments

DOORS: Mapping[str, Door] = {
    "web": Door(
        "serve the page: where the crawl stands, what it found",
        "python run.py web",
        "web",
        "web.commands",
        no_arguments,
        lambda module, given, settings, console: module.web(settings, console),
    ),
}

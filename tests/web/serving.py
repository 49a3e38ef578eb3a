"""The page as a person starts it, `run.py web` as a process; or in this one, with small models."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn
from rich.console import Console

from runtime.listening import listen
from runtime.parts import Parts
from runtime.settings import load_settings
from tests.system.process import ROOT
from web.similar import Live
from web.wiring import build, build_parts


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[str]:
    """Run `run.py web` on the home and yield its address."""
    told = {"PATH": os.environ["PATH"], "HOME": str(home), "CRAWLER_HOME": str(home), "WEB_PORT": "0", **settings}
    command = [sys.executable, "run.py", "web"]
    with subprocess.Popen(command, cwd=ROOT, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            told_line = ""
            while not (match := re.search(r"(http://\S+/) \(", told_line)):
                line = process.stdout.readline()
                assert line, f"it ended with: {told_line}"
                told_line += line.decode()
            yield match[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            assert process.returncode == 0


@contextmanager
def serving_here(home: Path, load: Callable[[Parts], Live]) -> Iterator[str]:
    """Serve the home's page from a thread of this process and yield its address; `load` opens the image search."""
    built = build(build_parts(load_settings(home, {}), Console(file=io.StringIO())), load)
    with closing(built.database), closing(built.similar), listen("127.0.0.1", 0, "WEB_PORT") as listening:
        server = uvicorn.Server(uvicorn.Config(built.app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()

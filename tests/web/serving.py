"""The page as a person starts it: `run.py web` as a process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.process import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Run `run.py web` on the home and yield its address."""
    told = {"PATH": os.environ["PATH"], "HOME": str(home), "CRAWLER_HOME": str(home), "WEB_PORT": "0"}
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

"""What a stranger says to us is shown as it is: it changes no colour, no line and no exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

import run
from crawler.changes import ItemFailed
from crawler.store import state, writer
from tests.rig import Rig

SAID = ("HTTP 500: [/error]", "[bold]x", "[link=http://evil.example]here[/link]", ":warning: {0} %s", "\\[x]")


@pytest.mark.parametrize("said", SAID)
def test_status_tells_the_words_of_a_server_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    rig = Rig(tmp_path / "home")
    rig.run_until("BACKFILL")
    state.save("trouble", {"error": said, "at": "2026-11-20T00:00:00Z", "attempts": 1})
    writer.write([ItemFailed("listing", 1, said, 1, "2026-11-20T00:00:00Z")])
    rig.close()
    monkeypatch.setenv("CRAWLER_HOME", str(tmp_path / "home"))
    assert run.main(["status"]) == 0
    assert capsys.readouterr().out.count(said) == 2

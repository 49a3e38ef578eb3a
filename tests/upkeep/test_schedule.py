"""`schedule`: what is installed runs what it says, twice is once, and what is foreign stays."""

from __future__ import annotations

import io
import os
import plistlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from runtime.errors import OperatorNeeded, UserMistake
from runtime.settings import load_settings
from tests.rig import VirtualClock
from upkeep.schedule import cron, launchd, systemd
from upkeep.schedule.jobs import JOBS, Job, Place
from upkeep.schedule.systems import Launchd, System
from upkeep.schedule_commands import schedule

ROOT = Path(__file__).parents[2]
ODD = "a b 'c' \"d\" 100% é & $x `y` \\%z;"
BY_NAME = {job.name: job for job in JOBS}
TOOLS = {
    "launchctl": """
case $1 in
    print) test -e "$HOME/loaded/${2##*/}" ;;
    bootout) rm "$HOME/loaded/${2##*/}" ;;
    bootstrap) test ! -e "$HOME/broken" || { echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5; }
        mkdir -p "$HOME/loaded"; name=${3##*/}; touch "$HOME/loaded/${name%.plist}" ;;
esac
""",
    "systemctl": """
case $2 in
    show-environment) test ! -e "$HOME/without-systemd" ;;
    enable) test ! -e "$HOME/broken" || { echo 'Failed to enable unit: Access denied' >&2; exit 1; } ;;
esac
""",
    "crontab": """
case $1 in
    -l) test -e "$HOME/crontab" || { echo 'no crontab for me' >&2; exit 1; }
        cat "$HOME/crontab" ;;
    -) test ! -e "$HOME/broken" || { echo 'crontab: disk full' >&2; exit 1; }
        cat > "$HOME/crontab" ;;
esac
""",
}
"""Programs that are not ours, as far as we call them: each writes down its arguments and keeps what it is given."""
RECORD = """#!/bin/sh
echo "$CRAWLER_HOME|$*" >> "$RECORD"
exit "${STATUS:-0}"
"""


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The HOME of a person on a machine with all three systems; `system_here` takes systemd on Linux."""
    person = tmp_path / "person"
    tools = tmp_path / "tools"
    for folder in (person, tools, tmp_path / "run"):
        folder.mkdir()
    for name, body in TOOLS.items():
        executable(tools / name, f'#!/bin/sh\necho "{name} $*" >> "$HOME/calls"\n{body}')
    monkeypatch.setenv("HOME", str(person))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return person


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / ODD
    home.mkdir()
    return home


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An installation whose Python writes down what it is asked to run."""
    folder = tmp_path / "python 100% é & $x;"  # systemd itself takes no quotation marks here
    folder.mkdir()
    (home / "logs").mkdir()
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return Place(executable(folder / "python3", RECORD), folder / "run.py", home)


def executable(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def recorded(tmp_path: Path) -> list[str]:
    path = tmp_path / "record"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def ran(place: Place, job: Job) -> list[str]:
    """Return what `RECORD` writes of a job."""
    return [f"{place.home}|{' '.join([str(place.program), *arguments])}" for arguments in job.commands]


def give(home: Path, action: str, yes: bool = True, **told: str) -> str:
    out = io.StringIO()
    settings = load_settings(home, {"CRAWLER_HOME": str(home), **told})
    assert schedule(settings, Console(file=out, width=200, markup=False), action, yes) == 0  # type: ignore[arg-type]
    return out.getvalue()


def files(person: Path) -> dict[str, bytes]:
    """Return what the person has, without the tools' notes of how they were called."""
    kept = [path for path in person.rglob("*") if path.is_file() and path.name != "calls"]
    return {str(path.relative_to(person)): path.read_bytes() for path in kept}


def calls(person: Path) -> list[str]:
    return (person / "calls").read_text(encoding="utf-8").splitlines()


# Each system runs what is meant, whatever the paths hold


def from_launchd(place: Place, job: Job, tmp_path: Path) -> int:
    told = plistlib.loads(launchd.render(job, place).encode())
    output = Path(told["StandardOutPath"])
    assert output.parent == place.home / "logs"
    environment = {**os.environ, **told["EnvironmentVariables"]}
    return subprocess.run(told["ProgramArguments"], env=environment, check=False, stderr=subprocess.DEVNULL).returncode


def from_cron(place: Place, job: Job, tmp_path: Path) -> int:
    (line,) = [line for line in cron.render([job], place).splitlines() if not line.startswith("#")]
    command = line.split(maxsplit=1)[1] if line.startswith("@reboot") else line.split(maxsplit=5)[5]
    status = subprocess.run(["/bin/sh", "-c", as_cron_reads(command)], check=False).returncode
    assert (place.home / "logs" / f"{job.name}.out").exists()
    return status


def as_cron_reads(command: str) -> str:
    """Return what cron hands to the shell: a bare % would end the command (do_command.c of Vixie's cron)."""
    found, escaped = "", False
    for sign in command:
        if escaped and sign == "%":
            found = found[:-1]
        assert sign != "%" or escaped, f"the command ends at {found!r}"
        found += sign
        escaped = sign == "\\" and not escaped
    return found


def from_systemd(place: Place, job: Job, tmp_path: Path) -> int:
    lines = [
        line.partition("=") for line in systemd.render(job, place)[systemd.unit(job, place, "service")].splitlines()
    ]
    ((environment,),) = [as_systemd_reads(value) for key, _, value in lines if key == "Environment"]
    (output,) = [value.replace("%%", "%") for key, _, value in lines if key == "StandardOutput"]
    assert output == f"append:{place.home}/logs/{job.name}.out"
    name, _, value = environment.partition("=")
    for command in [value.removeprefix("-") for key, _, value in lines if key == "ExecStart"]:
        program, *others = as_systemd_reads(command)
        words = [program, *(word.replace("$$", "$") for word in others)]
        status = subprocess.run(words, env={**os.environ, name: value}, check=False).returncode
    return status


def as_systemd_reads(value: str) -> list[str]:
    """Return the words of a line by the rules of systemd.syntax(7): all of ours are quoted."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
    assert " ".join(f'"{word}"' for word in words) == value
    return [re.sub(r"\\(.)", r"\1", word).replace("%%", "%") for word in words]


@pytest.mark.parametrize("run", [from_launchd, from_systemd, from_cron])
@pytest.mark.parametrize("name", BY_NAME)
def test_a_job_runs_this_python_on_this_home_whatever_the_paths_hold(
    place: Place, tmp_path: Path, name: str, run: Callable[[Place, Job, Path], int]
) -> None:
    assert run(place, BY_NAME[name], tmp_path) == 0
    assert recorded(tmp_path) == ran(place, BY_NAME[name])


@pytest.mark.parametrize("run", [from_launchd, from_systemd, from_cron])
def test_primary_follows_archive_however_that_ended(
    place: Place, tmp_path: Path, run: Callable[[Place, Job, Path], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS", "4")
    assert run(place, BY_NAME["pictures"], tmp_path) == 4
    assert recorded(tmp_path) == ran(place, BY_NAME["pictures"])


@pytest.mark.parametrize(("status", "told"), [(0, 0), (1, 1), (2, 0), (3, 0), (4, 0), (70, 70)])
def test_launchd_begins_the_crawl_again_after_a_crash_and_not_where_that_does_not_help(
    place: Place, tmp_path: Path, status: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS", str(status))
    assert from_launchd(place, BY_NAME["crawl"], tmp_path) == told
    plist = plistlib.loads(launchd.render(BY_NAME["crawl"], place).encode())
    assert plist["KeepAlive"] == {"SuccessfulExit": False} and plist["RunAtLoad"] is True


@pytest.mark.parametrize("status", [0, 1])
def test_launchd_s_end_of_the_crawl_is_the_crawler_s_own(place: Place, status: int) -> None:
    executable(place.python, f"#!/bin/sh\ntrap 'exit {status}' TERM\necho up\nwhile :; do sleep 0.05; done\n")
    words = plistlib.loads(launchd.render(BY_NAME["crawl"], place).encode())["ProgramArguments"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as shell:
        assert shell.stdout is not None and shell.stdout.readline() == b"up\n"
        shell.send_signal(signal.SIGTERM)
        assert shell.wait(10) == status


def test_systemd_begins_the_crawl_again_after_a_crash_and_not_where_that_does_not_help(place: Place) -> None:
    text = systemd.render(BY_NAME["crawl"], place)[systemd.unit(BY_NAME["crawl"], place, "service")]
    assert {"Restart=on-failure", "RestartPreventExitStatus=2 3 4", "WantedBy=default.target"} <= {*text.splitlines()}


# The rules that stand in for the systems' own tools


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (plistlib.dumps({"Label": "a", "ProgramArguments": ["b"], "KeepAlife": {}}).decode(), "KeepAlife"),
        (plistlib.dumps({"Label": "a", "ProgramArguments": "b"}).decode(), "ProgramArguments"),
        (plistlib.dumps({"ProgramArguments": ["b"]}).decode(), "Label"),
        (
            plistlib.dumps({"Label": "a", "ProgramArguments": ["b"], "StartCalendarInterval": [{"Hour": 24}]}).decode(),
            "Hour 24",
        ),
    ],
)
def test_a_property_list_that_launchd_would_not_take_is_found(text: str, wrong: str) -> None:
    assert any(wrong in line for line in launchd.mistakes(text))


def test_a_unit_that_systemd_would_not_take_is_found() -> None:
    assert systemd.mistakes("[Service]\nType=exec\nRestrat=always\n[Foo]\n") == ["Restrat=always", "[Foo]"]


@pytest.mark.parametrize(
    "line", ["5 1 * * root x", "@reboot a % b", "5 1 * * * a \\\\% b", "x", f"@reboot {'a' * 2000}"]
)
def test_a_line_that_cron_would_not_take_is_found(line: str) -> None:
    assert cron.mistakes(f"# >>>\n5 1 * * * a\n{line}\n") == [line]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_units_are_right_to_systemd_itself(place: Place, person: Path, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    folder.mkdir()
    for job in JOBS:
        for name, text in systemd.render(job, place).items():
            (folder / name).write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--user", *map(str, sorted(folder.iterdir()))]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "furniture-crawler" not in told.stderr
    for job in JOBS:
        if job.times is not None:
            timer = systemd.render(job, place)[systemd.unit(job, place, "timer")]
            when = re.findall(r"OnCalendar=(.*)", timer)
            subprocess.run(["systemd-analyze", "calendar", *when], check=True, capture_output=True)


def test_the_times_are_those_that_the_words_say(place: Place) -> None:
    (line,) = re.findall(
        r"OnCalendar=(.*)",
        systemd.render(BY_NAME["pictures"], place)[systemd.unit(BY_NAME["pictures"], place, "timer")],
    )
    assert line == "*-*-* 00,12:20:00"
    plist = plistlib.loads(launchd.render(BY_NAME["mirror"], place).encode())
    assert plist["StartCalendarInterval"] == [{"Minute": 35}]
    assert "2,12,22,32,42,52 * * * * " in cron.render([BY_NAME["alerts"]], place)


# The command


def with_systemd(person: Path) -> None:
    pass


def with_cron(person: Path) -> None:
    (person / "without-systemd").touch()


@pytest.mark.parametrize("prepare", [with_systemd, with_cron])
def test_installed_twice_is_installed_once_and_removed_leaves_what_was_there(
    person: Path, home: Path, prepare: Callable[[Path], None]
) -> None:
    prepare(person)
    units = person / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "furniture-crawler-00000000-crawl.service").write_text("[Unit]\n")  # another home's
    (person / "crontab").write_bytes(
        b"# mine \xff\n\n5 4 * * *\techo 'hello'  \n# >>> furniture-crawler 00000000 >>>\n"
    )
    before = files(person)
    give(home, "install", MIRROR_FOLDER="/mnt/second")
    installed = files(person)
    assert installed != before and installed.items() >= {k: v for k, v in before.items() if k != "crontab"}.items()
    assert "Exactly this is installed" in give(home, "show", MIRROR_FOLDER="/mnt/second")
    give(home, "install", MIRROR_FOLDER="/mnt/second")
    assert files(person) == installed
    give(home, "install")  # a job that is set no more goes
    assert b"mirror" not in b"".join([*files(person).values(), *(name.encode() for name in files(person))])
    give(home, "remove")
    assert files(person) == before
    assert "Nothing of this home is installed" in give(home, "remove")


@pytest.mark.parametrize("prepare", [with_systemd, with_cron])
def test_two_homes_do_not_mix(person: Path, home: Path, tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(person)
    other = tmp_path / "other"
    other.mkdir()
    give(other, "install")
    before = files(person)
    give(home, "install")
    give(home, "remove")
    assert files(person) == before


@pytest.mark.parametrize("prepare", [with_systemd, with_cron])
def test_a_tool_that_fails_leaves_nothing_half_installed_and_its_words_are_told(
    person: Path, home: Path, prepare: Callable[[Path], None]
) -> None:
    prepare(person)
    (person / "crontab").write_bytes(b"5 4 * * * mine\n")
    (person / "broken").touch()
    before = files(person)
    with pytest.raises(OperatorNeeded, match=r"Access denied.*Nothing of this home|disk full"):
        give(home, "install")
    assert files(person) == before


def test_only_what_is_set_is_installed_and_the_rest_is_told(person: Path, home: Path) -> None:
    told = give(home, "show")
    assert "MIRROR_FOLDER is not set" in told and "ALERTS is not set" in told
    assert re.search(r"mirror.*timer", told) is None and "-backup.timer" in told
    told = give(home, "show", MIRROR_FOLDER="/mnt/a", MIRROR_TARS_FOLDER="/mnt/b", ALERTS="https://ntfy.sh/x")
    assert "-mirror.timer" in told and "-mirror-tars.timer" in told and "-alerts.timer" in told
    assert "loginctl enable-linger" in told and "ntfy.sh" not in told


def test_showing_changes_nothing_and_without_a_person_to_ask_nothing_is_installed(person: Path, home: Path) -> None:
    before = files(person), sorted(home.iterdir())
    give(home, "show")
    with pytest.raises(UserMistake, match="Nobody is here"):
        give(home, "install", yes=False)
    assert (files(person), sorted(home.iterdir())) == before


@pytest.mark.parametrize(("answer", "number"), [(b"n\n", 0), (b"\n", 0), (b"y\n", 5)])
def test_at_a_terminal_it_shows_first_and_asks(person: Path, home: Path, answer: bytes, number: int) -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "CRAWLER_HOME": str(home)}
    command = [sys.executable, "run.py", "schedule", "--install"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        while b"[y/N]" not in told:
            told += os.read(ours, 4096)
        assert b"ExecStart=" in told and not (person / ".config").exists()
        os.write(ours, answer)
        told = drained(ours)
        assert process.wait(20) == 0, told
    assert len(list(person.glob(".config/systemd/user/*"))) == number


def drained(descriptor: int) -> bytes:
    """Return what comes until the other end is closed."""
    told = b""
    try:
        while piece := os.read(descriptor, 4096):
            told += piece
    except OSError:  # Linux says so at the end of a terminal
        pass
    os.close(descriptor)
    return told


def test_without_any_system_it_says_what_to_do(
    person: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UserMistake, match=r"neither launchd nor .* cron"):
        give(home, "show")


def test_a_home_with_a_line_break_in_its_name_is_refused(person: Path, tmp_path: Path) -> None:
    home = tmp_path / "a\nb"
    home.mkdir()
    with pytest.raises(UserMistake, match="cannot stand in a schedule"):
        give(home, "show")


# launchd


def agents(person: Path, place: Place) -> System:
    return Launchd(place, VirtualClock())


def test_launchd_is_told_of_each_job_once_and_of_none_after_a_removal(person: Path, place: Place) -> None:
    system = agents(person, place)
    planned = system.planned(JOBS)
    assert system.mistakes(planned) == []
    (person / "Library" / "LaunchAgents").mkdir(parents=True)
    (person / "Library" / "LaunchAgents" / "com.other.plist").write_text("theirs")
    before = files(person)
    system.install(planned)
    assert system.installed() == planned
    assert sorted(path.name for path in (person / "loaded").iterdir()) == sorted(
        launchd.label(job, place) for job in JOBS
    )
    asked = len(calls(person))
    system.install(planned)
    assert not any("boot" in call for call in calls(person)[asked:])
    system.install(system.planned(JOBS[:1]))
    assert [path.name for path in (person / "loaded").iterdir()] == [launchd.label(JOBS[0], place)]
    system.remove()
    assert files(person) == before


def test_launchd_that_refuses_leaves_nothing_half_installed(person: Path, place: Place) -> None:
    system = agents(person, place)
    (person / "broken").touch()
    with pytest.raises(OperatorNeeded, match=r"Input/output error.*Nothing of this home"):
        system.install(system.planned(JOBS))
    assert system.installed() == {} and not (person / "loaded").exists()

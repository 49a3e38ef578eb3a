"""Imports run one way, as DESIGN §2 says; read from the sources, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("runtime", "crawler", "models", "imaging", "search", "publishing", "upkeep", "web", "sandbox")
MAY_IMPORT = {
    "runtime": set[str](),
    "sandbox": set[str](),
    "models": set[str](),
    "crawler": {"models", "runtime"},
    "imaging": {"models", "runtime"},
    "search": {"models", "runtime"},
    "publishing": {"models", "runtime"},
    "upkeep": {"models", "runtime"},
}
# Within a package: what a file (or folder) may import of the package's own, by the beginning of the name.
INSIDE = {
    "crawler.store": (
        "crawler.store crawler.changes crawler.api.records crawler.api.ledger crawler.eras crawler.freshness "
        "crawler.plan"
    ),
    "crawler.api": "crawler.api",
    "crawler.machine": "",
    "crawler.eras": "",
    "crawler.freshness": "",
    "crawler.plan": "",
    "crawler.walk": "crawler.plan",
    "crawler.api.quota": "",
    "crawler.api.shapes": "crawler.api.fields",
    "crawler.api.records": "crawler.api.fields crawler.api.shapes",
    "crawler.api.parsing": "crawler.api.fields crawler.api.records crawler.api.shapes",
    "crawler.api.reading": "crawler.api.parsing crawler.api.records crawler.api.shapes",
    "crawler.api.refusals": "crawler.api.fields",
    "crawler.api.fields": "",
    "crawler.api.wire": "",
    "crawler.api.limiter": "",
    "crawler.api.ledger": "crawler.api.quota",
    "crawler.api.transport": "crawler.api",
    "imaging.outcomes": "",
    "imaging.check": "",
    "imaging.layout": "",
    "imaging.courtesy": "",
    "imaging.address": "imaging.check",
    "imaging.fetch": "imaging.address imaging.check",
    "imaging.shards": "imaging.check imaging.layout",
    "imaging.store": "imaging.store imaging.check imaging.outcomes imaging.shards",
    "imaging.disk": "imaging.layout",
    "search.catalogue": "",
    "search.ensemble": "",
    "search.pace": "",
    "search.handshake": "",
    "search.query": "",
    "search.filters": "",
    "search.store": "search.store search.catalogue search.tasks",
    "search.tasks": "search.catalogue search.store.vectors",
    "search.index": "search.index search.catalogue search.store.vectors",
    "search.scoring": "search.ensemble search.index search.catalogue",
    "search.embedders": "search.embedders search.catalogue",
    "search.background": "search.embedders.preprocess",
    "search.stages": "search.catalogue search.pictures search.store search.tasks",
    "search.embedding": "search.crew search.gate search.pace search.stages search.store.checks search.tasks",
    "upkeep.retention": "",
    "upkeep.trees": "",
    "upkeep.tools": "",
    "upkeep.notes": "",
    "upkeep.records": "upkeep.notes",
    "upkeep.targets": "",
    "upkeep.databases": "",
    "upkeep.manifest": "",
    "upkeep.mirror": "upkeep.tools upkeep.trees",
    "upkeep.ends": "upkeep.notes",
    "upkeep.conditions": "upkeep.ends upkeep.records",
    "upkeep.export": "upkeep.export",
    "publishing.machine": "",
    "publishing.aspect": "",
    "publishing.canonical": "",
    "publishing.names": "",
    "publishing.retries": "",
    "publishing.metadata": "",
    "publishing.troubles": "",
    "publishing.template": "publishing.metadata",
    "publishing.platforms": (
        "publishing.platforms publishing.metadata publishing.payloads publishing.troubles publishing.wire"
    ),
    "publishing.handlers": (
        "publishing.handlers publishing.aspect publishing.changes publishing.machine publishing.metadata "
        "publishing.names publishing.payloads publishing.pictures publishing.platforms publishing.records "
        "publishing.shelf publishing.troubles"
    ),
    "imaging.worker": "imaging.address imaging.check imaging.disk imaging.fetch imaging.layout imaging.store.queue",
}
NEVER_BY_STATES = (
    "crawler.states crawler.engine crawler.wiring crawler.commands crawler.survey crawler.dumps crawler.report "
    "crawler.watch crawler.api.transport crawler.api.limiter crawler.api.ledger crawler.api.quota crawler.api.wire "
    "requests urllib3 peewee playhouse"
)
NOT_CLIENT = (
    "crawler.api.limiter",
    "crawler.api.quota",
    "crawler.api.ledger",
    "crawler.api.transport",
    "crawler.api.wire",
)
PURE = (
    "crawler.eras",
    "crawler.freshness",
    "crawler.plan",
    "crawler.walk",
    "crawler.api.quota",
    "crawler.api.parsing",
    "crawler.api.records",
    "imaging.address",
    "imaging.outcomes",
    "search.ensemble",
    "search.pace",
    "upkeep.retention",
    "web.charts",
    "upkeep.conditions",
    "upkeep.export.asof",
    "publishing.aspect",
    "publishing.canonical",
    "publishing.metadata",
    "publishing.platforms.etsy_texts",
    "publishing.retries",
    "publishing.template",
)
WAITING = {
    "time.time",
    "time.sleep",
    "time.monotonic",
    "time.perf_counter",
    "datetime.now",
    "datetime.utcnow",
    "date.today",
}


def sources() -> dict[str, Path]:
    """Return every module of ours by its name, tests and migrations left out."""
    found = {"run": ROOT / "run.py"}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(part.endswith("migrations") for part in path.parts):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


SOURCES = sources()
MODULES = sorted(SOURCES)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Return the full names of what the module imports, functions' own imports included."""
    found = set[str]()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if name in SOURCES}
            found |= modules
            if modules != below:
                found.add(node.module or "")
    return frozenset(found)


def under(name: str, beginnings: str) -> bool:
    return any(name == start or name.startswith(f"{start}.") for start in beginnings.split())


def of_ours(module: str) -> Iterator[str]:
    yield from (name for name in imports(module) if name.partition(".")[0] in PACKAGES)


def test_the_sources_were_found() -> None:
    assert {"run", "crawler.machine", "crawler.api.records", "models", "runtime.clock"} <= set(SOURCES)
    assert imports("crawler.machine") >= {"transitions", "runtime.errors"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] in MAY_IMPORT])
def test_a_package_imports_only_the_packages_below_it(module: str) -> None:
    package = module.partition(".")[0]
    strangers = {name.partition(".")[0] for name in of_ours(module)} - MAY_IMPORT[package] - {package}
    assert strangers == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] == "models"])
def test_models_import_peewee_and_themselves_alone(module: str) -> None:
    assert {name.partition(".")[0] for name in imports(module)} <= {"__future__", "pathlib", "peewee", "models"}


@pytest.mark.parametrize("module", MODULES)
def test_within_a_package_imports_run_one_way(module: str) -> None:
    for beginning, allowed in INSIDE.items():
        exact = beginning in SOURCES and SOURCES[beginning].name != "__init__.py"
        if module == beginning or (not exact and module.startswith(f"{beginning}.")):
            own = [name for name in imports(module) if under(name, module.partition(".")[0])]
            assert [name for name in own if not under(name, allowed)] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("crawler.states.")])
def test_a_state_imports_no_other_state_and_neither_requests_nor_peewee(module: str) -> None:
    assert [name for name in imports(module) if under(name, NEVER_BY_STATES)] == []


@pytest.mark.parametrize("module", NOT_CLIENT)
def test_no_lower_layer_of_the_api_knows_the_client(module: str) -> None:
    assert not any(under(name, "crawler.api.client crawler.api.lookahead") for name in imports(module))


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("transitions", {"crawler.machine", "publishing.machine"}),
        ("requests", {"crawler.api.wire", "imaging.fetch", "publishing.wire"}),
        ("PIL", {"imaging.check", "imaging.wiring", "publishing.pictures"}),
        ("tarfile", {"imaging.shards"}),
        ("pydantic", {"runtime.settings"}),
        ("dotenv", {"runtime.settings"}),
        ("orjson", {"crawler.api.reading"}),
        ("msgspec", {"crawler.api.reading", "crawler.api.records", "crawler.api.shapes"}),
        ("signal", {"runtime.stop"}),
        ("faiss", {"search.index.library"}),
        ("rembg", {"search.background_rembg"}),
        ("open_clip", {"search.embedders.open_clip_model"}),
        ("cryptography", {"search.certificates"}),
        ("apprise", {"upkeep.sending"}),
        ("starlette", {"publishing.serving"}),
        ("uvicorn", {"publishing.serving"}),
    ],
)
def test_a_library_is_known_to_one_file_of_a_package(library: str, homes: set[str]) -> None:
    packages = "crawler imaging publishing runtime run models upkeep" + (
        "" if library == "PIL" else " search"
    )  # search lives by pictures
    users = {name for name in MODULES if under(name, packages)}
    assert {name for name in users if any(under(imported, library) for imported in imports(name))} == homes


@pytest.mark.parametrize("module", PURE)
def test_what_decides_does_not_read_or_write(module: str) -> None:
    assert not any(
        under(name, "peewee requests os pathlib threading logging crawler.store models") for name in imports(module)
    )


@pytest.mark.parametrize("module", ["run", "crawler.look_commands"])
def test_whoever_only_looks_does_not_wait_for_what_calls_or_opens_pictures(module: str) -> None:
    loaded, left = set[str](), {module}
    while left:
        name = left.pop()
        loaded.add(name)
        left |= {found for found in imports(name) if found in SOURCES} - loaded
    assert "crawler.survey" in loaded or module == "run"
    libraries = set[str]().union(*map(imports, loaded))
    assert [name for name in libraries if under(name, "requests urllib3 PIL platformdirs")] == []


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


@pytest.mark.parametrize("module", [name for name in MODULES if not under(name, "sandbox runtime.clock")])
def test_nobody_but_the_clock_asks_the_time_or_sleeps(module: str) -> None:
    used = {dotted(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert {name for name in used for asked in WAITING if name == asked or name.endswith(f".{asked}")} == set()
    names = [node for node in ast.walk(tree(module)) if isinstance(node, ast.ImportFrom) and node.module == "time"]
    assert names == []


# The demo hands its own environment on to the crawler that it starts; it reads nothing from it.
@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("runtime.settings", "sandbox.demo")])
def test_nobody_but_the_settings_reads_the_environment(module: str) -> None:
    used = {dotted(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not {"os.environ", "os.getenv", "os.putenv", "os.environb"} & used
    froms = {
        a.name for n in ast.walk(tree(module)) if isinstance(n, ast.ImportFrom) and n.module == "os" for a in n.names
    }
    assert not {"environ", "getenv"} & froms


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_head_of_a_file(module: str) -> None:
    inside = [
        found.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for found in ast.walk(node)
        if isinstance(found, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_there_are_no_import_cycles() -> None:
    edges = {name: [to for to in imports(name) if to in SOURCES and to != name] for name in MODULES}
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        state[name] = 1
        path.append(name)
        for to in edges[name]:
            assert state.get(to) != 1, " → ".join([*path[path.index(to) :], to])
            if to not in state:
                visit(to)
        path.pop()
        state[name] = 2

    for name in MODULES:
        if name not in state:
            visit(name)

# Every target makes .venv and installs what it needs by itself.
PYTHON ?= python3
BIN = .venv/bin
PACKAGES = run.py runtime crawler imaging search publishing upkeep web models sandbox tests bench

.PHONY: demo test test-slow test-search test-postgres search upkeep web screenshots publishing run lint simulate torture bench bench-calls bench-saturation bench-engine bench-size bench-pages bench-pictures \
	bench-verify bench-search bench-export clean

demo: .venv/run
	$(BIN)/python run.py demo

run: .venv/run
	$(BIN)/python run.py

test: .venv/dev
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

# What takes long: deaths at every point that there is and at moments of chance, months of a crawl.
test-slow: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

# The image search; its libraries are large, and the crawler runs without them.
search: .venv/search

# Backups, export, alerts; the crawler runs without their libraries, too.
upkeep: .venv/upkeep

# Artworks from a folder to shop listings; the crawler runs without their libraries, too.
publishing: .venv/publishing

# The page.
web: .venv/web

# The pictures of the page in docs/; needs Chromium.
screenshots: .venv/dev
	$(BIN)/python -m tests.web.screenshots

# In two processes: on a Mac, torch and FAISS crash in one.
test-search: .venv/search .venv/dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal tests/search --ignore tests/search/models
	$(BIN)/python -m pytest tests/search/models

# The system tests with the crawlers' databases on a PostgreSQL server of their own (apt-get install postgresql).
test-postgres: .venv/dev
	TEST_DATABASE=postgresql $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal tests/system

lint: .venv/dev
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/python -m pytest tests/unit/test_imports.py

# Months of a crawl on a virtual time; one seed gives one history: make simulate SEED=3 CYCLES=8
SEED ?= 1
CYCLES ?= 8
simulate: .venv/dev
	@$(BIN)/python -m tests.simulation --seed $(SEED) --cycles $(CYCLES)

# What takes too long for every change: about an hour on two cores.
torture: .venv/dev
	FUZZ_EXAMPLES=100000 $(BIN)/python -m pytest -n 2 tests/fuzz
	MACHINE_EXAMPLES=300 $(BIN)/python -m pytest tests/simulation/test_machine.py
	$(BIN)/python -m tests.simulation --seed $(SEED) --seeds 40 --cycles $(CYCLES)
	$(BIN)/python -m tests.simulation.crashes crawl --pairs $(SEED) --jobs 2
	TORTURE_KILLS=200 $(BIN)/python -m pytest -n 2 --dist worksteal tests/system/test_kill.py tests/system/test_deaths.py

# All figures in one table; a quarter of an hour, with ARGS=--full several hours.
bench: .venv/search .venv/dev .venv-bench/ready .venv-bench-engine/ready .venv-bench-search/ready
	$(BIN)/python -m bench $(ARGS)

# For example ARGS="--pictures 3000 --rounds 3 --memory"; the peers live in an environment of their own.
bench-pictures: .venv/run .venv-bench/ready
	$(BIN)/python -m bench.pictures $(ARGS)

# For example ARGS="--listings 10000 100000 --cycles 3".
bench-calls: .venv/run
	$(BIN)/python -m bench.calls $(ARGS)

# For example ARGS="--latencies 0.3 3 --seconds 600".
bench-saturation: .venv/run
	$(BIN)/python -m bench.saturation $(ARGS)

# For example ARGS="--listings 10000 --rounds 3"; the peers live in an environment of their own.
bench-engine: .venv/run .venv-bench-engine/ready
	$(BIN)/python -m bench.engine $(ARGS)

# How fast a million pictures are searched (ARGS="--rows 1000000"), how well pieces are found (FOLDER=pictures by label).
FOLDER ?=
bench-search: .venv/search .venv/dev .venv-bench-search/ready
	$(BIN)/python -m bench.search_quality $(FOLDER)
	$(BIN)/python -m bench.fusion
	$(BIN)/python -m bench.search_speed --peers .venv-bench-search/bin/python $(ARGS)

# For example ARGS="--listings 1000000 --folder /tmp/size --explain".
bench-size: .venv/run
	$(BIN)/python -m bench.size $(ARGS)

# For example ARGS="--listings 1000000 --folder /tmp/size": the folder of bench-size will do.
bench-pages: .venv/dev
	$(BIN)/python -m bench.pages $(ARGS)

# For example ARGS="--rows 1000000 --folder /tmp/export".
bench-export: .venv/run .venv/upkeep
	$(BIN)/python -m bench.export $(ARGS)

PICTURES ?= 1000000
bench-verify: .venv/run
	$(BIN)/python -m bench.verify_pictures --pictures $(PICTURES)

clean:
	rm -rf .venv .venv-bench .venv-bench-engine .venv-bench-search demo

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements.txt requirements-postgres.txt requirements-upkeep.txt requirements-publishing.txt requirements-web.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/run .venv/upkeep .venv/web .venv/publishing

.venv/search: requirements.txt requirements-search.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-search.txt
	@touch $@ .venv/run

.venv/upkeep: requirements.txt requirements-upkeep.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-upkeep.txt
	@touch $@ .venv/run

.venv/publishing: requirements.txt requirements-publishing.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-publishing.txt
	@touch $@ .venv/run

.venv/web: requirements.txt requirements-web.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-web.txt
	@touch $@ .venv/run

.venv-bench/ready: bench/requirements-pictures.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements-pictures.txt
	@touch $@

.venv-bench-search/ready: bench/requirements-search.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-bench-search
	.venv-bench-search/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements-search.txt
	@touch $@

.venv-bench-engine/ready: bench/requirements-engine.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-bench-engine
	.venv-bench-engine/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements-engine.txt
	@touch $@

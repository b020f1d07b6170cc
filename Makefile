# Needs only Python >= 3.11, make and git: every target sets itself up in .venv first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# Images of Python set it: each of hundreds of started engines would compile all of its modules.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
UV_VERSION := 0.13.8
UV := $(BIN)/uv --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-editions test-clean-clone test-slow fuzz check format bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: .venv/.run ## virtual environment in .venv with what the program needs
setup-dev: .venv/.dev ## the same, with what tests and checks need

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Precursor needs Python >= 3.11 with its venv module (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.run: .venv/bin/uv requirements.lock pyproject.toml
	VIRTUAL_ENV=.venv $(UV) pip install --require-hashes -r requirements.lock
	VIRTUAL_ENV=.venv $(UV) pip install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/bin/uv requirements-dev.lock pyproject.toml
	VIRTUAL_ENV=.venv $(UV) pip install --compile-bytecode --require-hashes -r requirements-dev.lock
	VIRTUAL_ENV=.venv $(UV) pip install --no-deps --no-build-isolation --editable .
	@touch .venv/.run $@

demo: setup ## broker + database + simulated plant + engine; ends by itself with a work order
	$(BIN)/precursor demo

test: setup-dev ## the tests
	$(BIN)/python -m pytest -m "not slow and not clean_clone" -n 2 --dist worksteal

# Where the editions differ: tables of readings and waveforms, rollups, their retention, and the way from one to another.
OF_THE_STORE := $(patsubst %,tests/integration/test_%.py,alarm_migration api_series dashboard_sql editions exchange \
	models_migration ranges retention rollup_kills rollups state_rollup storage_bench store upgrade waveforms)
# Whole files to a worker: the workers share one server, and a file may look for what its tests left there.
test-editions: setup-dev ## the store's tests on PRECURSOR_TEST_DSN's server, else on Debian's TimescaleDB Apache
	.ci/timescaledb $(BIN)/python -m pytest $(OF_THE_STORE) -m "not slow" -n 2 --dist loadfile --timeout 600

test-clean-clone: setup-dev ## `make demo` on a clean clone, installation included
	$(BIN)/python -m pytest -m clean_clone

test-slow: setup-dev ## hundreds of kills and other long suites
	$(BIN)/python -m pytest -m slow --timeout 7200

FUZZ ?= senml_cbor
FUZZ_SECONDS ?= 3600
fuzz: setup-dev ## an hour of fuzzing; FUZZ=json, json_fields, senml_json, senml_cbor, waveform_json, waveform_cbor or sparkplug
	$(UV) pip install --python $(BIN)/python atheris
	PYTHONPATH=. $(BIN)/python tests/fuzz/fuzz_codecs.py $(FUZZ) -max_total_time=$(FUZZ_SECONDS)

check: setup-dev ## ruff, strict mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure this machine, limits beside each figure; rewrites docs/performance.md
	$(BIN)/precursor bench ingest --write docs/performance.md

lock: .venv/bin/uv ## renew the lock files
	VIRTUAL_ENV=.venv $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade \
		--extra build pyproject.toml -o requirements.lock
	VIRTUAL_ENV=.venv $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade \
		--extra build --extra dev pyproject.toml -o requirements-dev.lock

clean: ## forget the virtual environment and the demo's data
	rm -rf .venv precursor-data demo-out

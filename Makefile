# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

.PHONY: demo test fuzz audit faults parity check lint types contracts lock bench bench-latency bench-queue clean help goldens docs shown

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -e 's/:.*##/\t/' | expand -t 14

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vibe8 needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@command -v git >/dev/null || { echo "vibe8 needs git on the PATH" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## the main job, end to end, on an embedded PostgreSQL and Valkey
	@$(BIN)/python -m worker.demo

test: $(STAMP) ## the test suite, on servers that it starts itself
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

fuzz: $(STAMP) ## hostile input, generated anew (about 10 minutes; VIBE8_FUZZ=N: N times as long)
	VIBE8_FUZZ=$${VIBE8_FUZZ:-1} $(BIN)/python -m pytest tests/fuzz --numprocesses 2

faults: $(STAMP) ## the whole fault suite: kills, outages, clocks, soak (about 25 minutes)
	$(BIN)/python -m pytest tests/faults

audit: $(STAMP) ## known faults of the locked dependencies (asks a vulnerability service), and bandit on ourselves
	@$(BIN)/python -m tests.tools.audit

parity: $(STAMP) ## every number against the tools' own command lines, on big trees (needs Java 17 and npm)
	$(BIN)/python -m pytest tests/parity

goldens: $(STAMP) ## what PMD says of the trees that its number is tested on (needs Java 17 and npm)
	$(BIN)/python -m tests.tools.make_goldens

check: $(STAMP) lint types contracts shown ## lint, types, import contracts, schema, deployment files, pages
	$(BIN)/python -m tests.tools.check_schema

lint: $(STAMP)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.tools.audit ourselves

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports --no-cache

shown: $(STAMP) # what operators and strangers read, and the deployment files
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m pytest tests/unit/deploy tests/unit/docs

docs: $(STAMP) ## write the reference pages from the code
	$(BIN)/python -m docs.generate

bench: $(STAMP) ## our wall time beside the ten tools' command lines, as a ratio
	$(BIN)/python -m benchmarks.analysis

bench-latency: $(STAMP) ## a one-file upload through the queue, from submit to completed, stage by stage
	$(BIN)/python -m benchmarks.latency

bench-queue: $(STAMP) ## jobs and submissions a second, beside bare ARQ and Procrastinate on the same servers
	$(BIN)/python -m benchmarks.queue

lock: $(STAMP) ## remake the hashed locks from the ranges in pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --all-extras pyproject.toml -c requirements.lock -o requirements-dev.lock
	echo hatchling | $(COMPILE) - -c requirements-dev.lock -o requirements-build.lock

clean: ## forget the virtual environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache .vibe8

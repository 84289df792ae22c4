# `make demo` and `make test` need no other set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

.PHONY: demo test test-browser test-pooler test-pythons fuzz audit faults parity check lint types contracts lock bench bench-latency bench-queue bench-growth bench-http clean help goldens calibrate docs pages

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -e 's/:.*##/\t/' | expand -t 14

# What runs the program and its embedded servers: a quarter of the disk space, and a third of the time, of all packages.
$(DEMO_STAMP): requirements-demo.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vibe8 needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@command -v git >/dev/null || { echo "vibe8 needs git on the PATH" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing $$(grep -c == requirements-demo.lock) packages into $(VENV), 0.3 GB; this takes half a minute or more"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-demo.lock -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMP): requirements-dev.lock $(DEMO_STAMP)
	@echo "installing what the tests need too, $$(grep -c == requirements-dev.lock) packages in all, 1 GB; this takes a minute or more"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(BENCH_STAMP): requirements-bench.lock
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

demo: $(DEMO_STAMP) ## run one job end to end, on an embedded PostgreSQL and Valkey
	@$(BIN)/python -m worker.cli.demo

test: $(STAMP) ## run the test suite, on servers that it starts itself
	$(BIN)/python -m pytest -m "not slow" --ignore tests/pooler --ignore tests/browser --numprocesses 4 --dist loadfile --no-loadscope-reorder

test-pooler: $(STAMP) ## run the tests behind PgBouncer, which must be installed (Debian: apt-get install pgbouncer)
	@PATH="$$PATH:/usr/sbin:/sbin" command -v pgbouncer >/dev/null || \
		{ echo "make test-pooler needs PgBouncer: apt-get install pgbouncer" >&2; exit 2; }
	$(BIN)/python -m pytest tests/pooler --numprocesses 2 --dist loadfile

# Apart from the others: Playwright's blocking API keeps an event loop, beside which none of these tests can have its own.
SERVICE_PAGES := tests/browser/service

test-browser: $(STAMP) ## open HTML reports and the service's pages in Chromium, which must be installed (Debian: apt-get install chromium)
	@command -v chromium >/dev/null || { echo "make test-browser needs Chromium: apt-get install chromium" >&2; exit 2; }
	$(BIN)/python -m pytest tests/browser --ignore $(SERVICE_PAGES) --numprocesses 2 --dist load
	$(BIN)/python -m pytest $(SERVICE_PAGES) --numprocesses 2 --dist load

fuzz: $(STAMP) ## run the fuzz tests with new random input (about 10 minutes; VIBE8_FUZZ=N: N times as long)
	VIBE8_FUZZ=$${VIBE8_FUZZ:-1} $(BIN)/python -m pytest tests/fuzz --numprocesses 2

faults: $(STAMP) ## run the whole fault suite: kills, outages, clocks, soak (about 25 minutes)
	$(BIN)/python -m pytest tests/faults tests/integration/worker/process/test_hand_back.py

audit: $(STAMP) ## look for known vulnerabilities of the locked dependencies (asks a service); run bandit on our own code
	@$(BIN)/python -m tests.tools.audit

parity: $(STAMP) ## compare every number with the tools' own command lines, on large trees (needs Java 17 and npm)
	$(BIN)/python -m pytest tests/parity

test-pythons: $(STAMP) ## run unit and parity tests on other interpreters: make test-pythons PYTHONS="3.12 3.13"
	@$(BIN)/python -m tests.tools.run_pythons $(PYTHONS)

calibrate: $(STAMP) ## measure the packages with which a project's numbers are compared (downloads them; about 10 minutes)
	@$(BIN)/python -m tests.tools.calibrate

goldens: $(STAMP) ## write what PMD reports for the trees of the duplication tests (needs Java 17 and npm)
	$(BIN)/python -m tests.tools.make_goldens

check: $(STAMP) lint types contracts pages ## check lint, types, import contracts, schema, deployment files, pages
	$(BIN)/python -m tests.tools.check_schema

lint: $(STAMP)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.tools.audit own-code

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports --no-cache

pages: $(STAMP) # documentation, deployment files, folders and modules
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m pytest tests/unit/deploy tests/unit/docs tests/unit/structure

collector: $(STAMP) ## a new metric: make collector NAME=... (docs/adding-a-collector.md)
	@$(BIN)/python -m tests.tools.new_collector $(NAME)

docs: $(STAMP) ## write the reference pages from the code
	$(BIN)/python -m docs.generate

bench: $(STAMP) ## measure our wall time against the ten tools' command lines, as a ratio
	$(BIN)/python -m benchmarks.analysis $(if $(TREE),--tree '$(TREE)' --look-ups)

bench-latency: $(STAMP) ## measure a one-file upload from submit to completed, stage by stage
	$(BIN)/python -m benchmarks.latency

bench-queue: $(STAMP) $(BENCH_STAMP) ## measure jobs a second beside other queues on the same servers (ONLY=noop,flush,stranger)
	$(BIN)/python -m benchmarks.queue $(if $(ONLY),--only $(ONLY))

bench-growth: $(STAMP) ## print the buffers of the hot path's statements at 1,000, 100,000 and 1,000,000 jobs
	$(BIN)/python -m benchmarks.growth

bench-http: $(STAMP) ## measure requests a second of the HTTP service beside bare FastAPI routes with the same statements
	$(BIN)/python -m benchmarks.http

lock: $(STAMP) ## write the hashed locks from the ranges in pyproject.toml
	$(COMPILE) --extra http pyproject.toml -o requirements.lock
	$(COMPILE) --all-extras pyproject.toml -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --extra http --extra embedded pyproject.toml -c requirements-dev.lock -o requirements-demo.lock
	$(COMPILE) --group pyproject.toml:bench -o requirements-bench.lock
	echo hatchling | $(COMPILE) - -c requirements-dev.lock -o requirements-build.lock

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache .vibe8

# Everything a newcomer, a developer and CI do, by one name each. `make` alone explains.
# Needs: GNU make, a POSIX shell, Python 3.11+. Nothing else, not even a database.

.DEFAULT_GOAL := help
.SUFFIXES:
SHELL := /bin/sh

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date

# What may be set on the command line: make sim N=100 SEED=7
N ?= 2000
SEED ?= 1
SECONDS ?= 60
DATA ?=
PORT ?=
ARGS ?=
PYTEST_ARGS ?=
# Two test files at a time: most tests wait for something. WORKERS=0: one after the other, in this process.
WORKERS ?= 2

.PHONY: help
help:  ## This list
	@printf 'Wakebridge. The two to begin with: make demo, make test\n\n'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# --- the virtualenv -----------------------------------------------------------------------------

.PHONY: setup
setup: $(STAMP)  ## Prepare .venv with the `bridge` command in it (quick when there is nothing to do)

# The interpreter is looked for by hand, because on many machines `python3` is an old one; the first word
# that is given with PYTHON= wins. The stamp is written last: an interrupted set-up is done again.
$(STAMP): requirements-dev.lock pyproject.toml
	@set -e; found=; \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'make setup: Python 3.11 or newer is needed, and none was found.' >&2; \
	  echo '            Install one, or name it: make setup PYTHON=/path/to/python3.13' >&2; exit 1; \
	fi; \
	if ! "$(BIN)/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  rm -rf "$(VENV)"; \
	  if ! "$$found" -m venv "$(VENV)"; then \
	    rm -rf "$(VENV)"; \
	    echo "make setup: $$found cannot make a virtualenv (on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	fi; \
	echo "make setup: installing the locked packages into $(VENV) ..."; \
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock; \
	PYTHONWARNINGS=ignore "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	touch "$(STAMP)"; \
	echo "make setup: ready. Try: $(BIN)/bridge --help"

# --- the agent programs that tests drive ---------------------------------------------------------

CLIENTS := .clients

.PHONY: clients
clients: $(CLIENTS)/.up-to-date  ## Codex, Claude Code and Gemini, pinned, into .clients/ for tests/agents (needs node 20 and npm)

# The lock names no index: npm's own configuration says where from, the hashes say what. Scripts of packages are not
# run, but for the one that puts Claude's program in its place.
$(CLIENTS)/.up-to-date: tests/agents/package.json tests/agents/package-lock.json
	@set -e; \
	if ! command -v npm >/dev/null 2>&1 || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then \
	  echo 'make clients: node 20 or newer with npm is needed (on Debian and Ubuntu: apt-get install nodejs npm).' >&2; exit 1; \
	fi; \
	echo 'make clients: installing the locked agent programs into $(CLIENTS) ...'; \
	mkdir -p $(CLIENTS); cp tests/agents/package.json tests/agents/package-lock.json $(CLIENTS)/; \
	npm ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error; \
	node $(CLIENTS)/node_modules/@anthropic-ai/claude-code/install.cjs; \
	touch $(CLIENTS)/.up-to-date

# --- running it ---------------------------------------------------------------------------------

.PHONY: demo
demo: setup  ## Eight scenes with real processes in about a minute; leaves nothing behind
	@$(BIN)/bridge demo $(ARGS)

.PHONY: up
up: setup  ## The whole stack in the foreground, Ctrl-C ends it (DATA=dir PORT=n)
	@$(BIN)/bridge up $(if $(DATA),--data "$(DATA)") $(if $(PORT),--port $(PORT)) $(ARGS)

# --- is it right --------------------------------------------------------------------------------

.PHONY: lint
lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint  ## Format, lint, types, import contracts and the guard tests; no server is started
	$(BIN)/python -m pytest tests/architecture $(PYTEST_ARGS)

# The demo goes first so that a log ends with what pytest has to say; its failure is kept, not the end of it.
.PHONY: test
test: lint  ## What CI runs: check, every test, and the demo
	@status=0; \
	$(BIN)/bridge demo || { status=1; echo 'make test: the demo failed' >&2; }; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS) || status=1; \
	exit $$status

.PHONY: test-core
test-core: setup  ## The core's tests alone: pure, no fixture, in two seconds
	$(BIN)/python -m pytest tests/core $(PYTEST_ARGS)

.PHONY: sim
sim: setup  ## Seeded histories in virtual time (N=2000, a fresh seed); N=1 SEED=s replays one
	$(BIN)/python -m bridge.simulation --histories $(N) $(if $(filter command,$(firstword $(origin SEED))),--seed $(SEED)) $(ARGS)

.PHONY: mutants
mutants: setup  ## Plant each known bug and see the simulator catch it
	$(BIN)/python -m tests.simulation.mutants $(ARGS)

.PHONY: bench
bench: setup  ## Measure lateness and throughput on this machine
	$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: chaos
chaos: setup  ## Kill every process under load and account for every message and wake
	$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: live
live: clients  ## Wakes into real codex and claude terminals, a human there (N=100 into each): docs/reports/live.md
	$(BIN)/python -m tests.live --wakes $(if $(filter command,$(firstword $(origin N))),$(N),100) $(ARGS)

.PHONY: fuzz
fuzz: setup  ## Malformed input (SECONDS=60), then 20,000 questions from our OpenAPI: no 500, no answer but the promised
	$(BIN)/python -m tests.security.fuzz --seconds $(SECONDS) --seed $(SEED) $(ARGS)

# pip-audit stands in an environment of its own: it is no part of the lock, and asks services that CI cannot reach.
PIP_AUDIT := 2.10.1

.PHONY: audit-deps
audit-deps: setup  ## Known vulnerabilities of the locked packages, where somebody who knows can be asked
	@test -x .audit/bin/pip-audit || { "$(BIN)/python" -m venv .audit && .audit/bin/python -m pip install --quiet \
	  --disable-pip-version-check pip-audit==$(PIP_AUDIT) || echo 'make audit-deps: pip-audit cannot be had here' >&2; }
	$(BIN)/python -m tests.security.audit_deps .audit/bin/pip-audit

# --- upkeep -------------------------------------------------------------------------------------

.PHONY: docs
docs: setup  ## Write the generated pages of docs/ anew (a guard test compares them)
	$(BIN)/python -m tests.architecture.docs $(ARGS)

.PHONY: payloads
payloads: setup  ## Record the answers of new files in tests/web/payloads; those that are recorded stay
	$(BIN)/python -m pytest tests/web/test_payloads.py --record-payloads

.PHONY: format
format: setup  ## Let ruff format everything and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: revision
revision: setup  ## A new empty migration (ID=0007 M="expand x")
	@if [ -z "$(ID)" ] || [ -z "$(M)" ]; then echo 'usage: make revision ID=0007 M="expand x"' >&2; exit 2; fi
	$(BIN)/alembic revision --rev-id "$(ID)" -m "$(M)"

# Resolved from the public index alone: a private one in pip's configuration would end up in the hashes.
LOCK := PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet \
	--generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: lock
lock: setup  ## Resolve the dependencies anew (ARGS="--upgrade" takes newer ones)
	$(LOCK) $(ARGS) --output-file requirements.lock pyproject.toml
	$(LOCK) $(ARGS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

.PHONY: clean
clean:  ## Remove caches and build products (not .venv, not your data)
	rm -rf build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo
	find bridge tasks web tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

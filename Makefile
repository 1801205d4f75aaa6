# The front door: `make` lists the targets. Everything that needs .venv makes it first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# In how many processes the tests run. One test: .venv/bin/python -m pytest tests/...; see CONTRIBUTING.md.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadscope --no-loadscope-reorder

export PYTHON WORKERS

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo up fuzz test test-elsewhere test-kubernetes test-emulation unit quick lint format lock picture bench faults soak docs run-agent run-agent-release clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make .venv with attune, attune-agent and attune-worker in .venv/bin

install-dev: $(VENV)/.installed-dev

demo: install ## Run one action in every language of this machine: embedded PostgreSQL, one agent, nothing left behind
	@$(BIN)/attune demo

up: install ## Run everything on this machine: PostgreSQL, server, page, one worker; ARGS="--detach", "--reset"
	@$(BIN)/attune up $(ARGS)

# A complaint about style must not hide what the tests say: all run, any may fail.
test: install-dev ## Run all tests and checks; installs what they need where it can; in CI also on a cluster and under emulation
	@scripts/services.sh
	@status=0; $(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/python scripts/unit.py --others || status=1; \
	$(BIN)/python -m pytest $(PARALLEL) --durations=25 $(ARGS) || status=1; \
	if [ "$(CI)" = true ] && [ -z "$(ARGS)" ]; then $(MAKE) --no-print-directory test-elsewhere || status=1; fi; exit $$status

# Side by side: the one waits for pods, the other for a compiler.
test-elsewhere: install-dev
	@scripts/services.sh kubernetes emulation
	@mkdir -p var; ATTUNE_TEST_EMULATION=1 $(BIN)/python -m pytest tests/emulation --durations=5 >var/emulation.log 2>&1 & \
	emulation=$$!; status=0; ATTUNE_TEST_KUBERNETES=1 $(BIN)/python -m pytest tests/kubernetes --durations=15 || status=1; \
	wait $$emulation || status=1; cat var/emulation.log; exit $$status

test-kubernetes: install-dev ## Run the tests on a cluster: the one of KUBECONFIG, else one of this machine's own (as root)
	@scripts/services.sh kubernetes
	@ATTUNE_TEST_KUBERNETES=1 $(BIN)/python -m pytest tests/kubernetes --durations=15 $(ARGS)

test-emulation: install-dev ## Build the agent for the other architecture under emulation, and try it there (as root)
	@scripts/services.sh emulation
	@ATTUNE_TEST_EMULATION=1 $(BIN)/python -m pytest tests/emulation $(ARGS)

unit: install-dev ## Run the unit tests on each Python from 3.11 on: no service, no network, under a minute
	@$(BIN)/python scripts/unit.py $(ARGS)

quick: $(VENV)/.installed-dev ## Run the unit tests on one Python: the loop while you write
	@ATTUNE_TEST_EXAMPLES=quick $(BIN)/python -m pytest tests/unit -q -x $(ARGS)

lint: install-dev ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: install-dev ## Renew requirements/*.txt from pyproject.toml; ARGS="--upgrade", "--upgrade-package pika"
	@scripts/lock.sh $(ARGS)

format: install-dev ## Bring the code into the common form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

picture: install-dev ## Make the README's picture anew
	@$(BIN)/python -m pytest -q -n 0 tests/acceptance/test_page.py -k picture_of_the_readme
	@cp var/screenshots/readme.png docs/images/page.png

bench: install-dev ## Measure, and print the ratios of one run
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: install-dev ## Send the server what its description allows and what it doesn't; ATTUNE_TEST_FUZZ_EXAMPLES says how much
	@ATTUNE_TEST_FUZZ_EXAMPLES=$${ATTUNE_TEST_FUZZ_EXAMPLES:-20} $(BIN)/python -m pytest tests/integration/server/test_fuzz.py $(ARGS)

faults: install-dev ## Inject faults and print what was lost, doubled or stuck; ARGS="--short", "--frozen dist/attune-agent"
	@scripts/services.sh
	@$(BIN)/python -m tests.faults $(ARGS)

soak: install-dev ## Run 20,000 executions with faults for twenty minutes; ARGS="--executions 2000 --minutes 2"
	@scripts/services.sh
	@$(BIN)/python -m tests.faults.soak $(ARGS)

docs: install-dev ## Write the pages that are made of the code
	$(BIN)/attune settings --page > docs/reference/settings.md
	$(BIN)/python -m agent.server.permissions_table

run-agent: install ## Run the agent from source; ARGS="--name x" goes to it
	$(BIN)/attune-agent $(ARGS)

run-agent-release: ## Run the one-file agent; builds it when it is missing
	@test -x dist/attune-agent || $(MAKE) build-agent
	dist/attune-agent $(ARGS)

# build-agent, docker-build-agent
-include build/build.mk

clean: ## Remove what was made here
	rm -rf $(VENV) dist var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.installed: pyproject.toml requirements/demo.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) demo
	@touch $@

$(VENV)/.installed-dev: pyproject.toml requirements/dev.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) dev
	@touch $@ $(VENV)/.installed

# `make help` lists the targets. Everything below sets itself up from a bare checkout.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/nexus_common libs/nexus_market libs/nexus_data libs/nexus_ops $(addprefix services/,ingest cortex shield executor telegram scheduler simvenue)
STAMP := $(VENV)/.ready
UV_VERSION := 0.13.8
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
export UV_SYSTEM_CERTS := 1
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header
ARGS ?=
DATA ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help setup run test test-accounts test-faults test-feeds test-features signals test-planted test-compose lint fmt bench lock up down logs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv with everything, from the hashed lock

$(STAMP): requirements-dev.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit("Nexus needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make $@ PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

run: setup ## the bot trading on a simulated market; Ctrl-C stops everything
	@exec $(BIN)/nexus up $(ARGS)

test: setup ## all tests that need no Docker, on real Postgres and NATS
	$(BIN)/pytest -n 2 --dist loadgroup -m "not compose and not long" $(ARGS)

test-faults: setup ## the long fault runs: kills at random moments; counts are printed
	$(BIN)/pytest -m "long" -s tests/faults $(ARGS)

test-feeds: setup ## all recorded candles through the venues' streams and their SDKs; counts are printed
	$(BIN)/pytest -m "long" -s tests/contract/feeds tests/unit/ingest $(ARGS)

test-features: setup ## features of every recorded candle, live and in blocks, bit for bit; counts are printed
	$(BIN)/pytest -m "long" -s tests/unit/market/test_recorded_features.py $(ARGS)

signals: setup ## every signal on a data directory, computed twice and compared; DATA=DIR; writes the table of docs/strategies.md
	$(BIN)/python tools/signal_table.py $(DATA) --page docs/strategies.md

test-accounts: setup ## two hundred accounts on one market, each compared with itself alone; counts are printed
	$(BIN)/pytest -m "long" -s tests/simulation/test_accounts.py $(ARGS)

test-planted: setup ## faults put into the code on purpose; each must turn the suite red; docs/planted-faults.md
	PYTHONPATH=tests $(BIN)/python -m faults.planted $(ARGS)

test-compose: setup ## the stack in containers: start, trade, check the replay, tear down
	$(BIN)/pytest -m compose -s tests/compose $(ARGS)

lint: setup ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## the benchmarks; figures under benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

lock: setup ## make the lock files anew from the .in files
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-dev.in -o requirements-dev.lock
	# for the images: what services run on, and what builds our packages; at the same versions as above
	$(COMPILE) -c requirements.lock requirements-services.in -o requirements-services.lock
	$(COMPILE) -c requirements-dev.lock requirements-build.in -o requirements-build.lock

up: ## docker compose: the six services, NATS, Postgres and the simulated exchange; ARGS='--scale cortex=2'
	@sh deploy/secrets.sh
	$(COMPOSE) up -d --build $(ARGS)

down: ## stop the containers; data stay in their volumes (ARGS=-v removes them)
	$(COMPOSE) down $(ARGS)

logs: ## follow the containers' logs; ARGS=executor for those of one service
	$(COMPOSE) logs -f $(ARGS)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

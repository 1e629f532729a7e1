# `make` alone prints what there is.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What the Python tests need of Node's world: the OpenID provider that they log in at, AsyncAPI's parser.
NODE_TESTS := $(patsubst %,%/node_modules/.installed,tests/identity/provider docs/site)

.PHONY: help run cluster test check unit js autobahn soak chaos bench bench-short bench-engines bench-nodes docs reference migration screenshot clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: $(VENV)/.run ## Install what the hub needs and start it on http://127.0.0.1:8000
	@exec $(BIN)/hub serve

cluster: $(VENV)/.test ## Three hubs, three NATS servers and PostgreSQL behind one address, on this machine, to look at
	@exec $(BIN)/python -m tests.cluster

test: $(VENV)/.test check js unit ## Install what the tests need and run everything

check: $(VENV)/.test ## Format, lint, types, and the arrows between modules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

js: clients/js/node_modules/.installed ## Check and test the browser client
	cd clients/js && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent check && PATH="$(CURDIR)/$(BIN):$$PATH" npm test --silent

unit: $(VENV)/.test $(NODE_TESTS) ## The Python tests, with real processes, sockets and Chromium
	@$(BIN)/python tests/install_chromium.py
	$(BIN)/python -m pytest -n auto --dist loadfile

autobahn: $(VENV)/.test $(VENV)/.autobahn ## The Autobahn fuzzing client against the hub's WebSocket classes (a minute; needs a Python 2.7)
	$(BIN)/python -m tests.autobahn $(VENV)/autobahn/bin/python

soak: $(VENV)/.test ## kill -9 under load, 100 rounds (SOAK_ROUNDS=n for another number)
	SOAK_ROUNDS=$${SOAK_ROUNDS:-100} $(BIN)/python -m pytest tests/faults -k soak -s --timeout 0

chaos: $(VENV)/.test ## Three hubs on three NATS servers, and everything that can go wrong (CHAOS_ROUNDS=n, CHAOS_SEED=n)
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-60} CHAOS_SERVERS=3 CHAOS_OUTAGE=$${CHAOS_OUTAGE:-30} $(BIN)/python -m pytest tests/cluster -k chaos -s --timeout 0

bench: $(VENV)/.bench ## Measure the hub beside its peers, into benchmarks/results/ (about 25 minutes)
	@$(BIN)/python -m benchmarks

bench-short: $(VENV)/.bench ## The same, small and short (under three minutes), into benchmarks/results/short/
	@$(BIN)/python -m benchmarks --short

bench-engines: $(VENV)/.test ## What the embedded log and NATS JetStream carry on this machine (two minutes)
	@$(BIN)/python -m benchmarks.engines

reference: $(VENV)/.test ## Write docs/reference/settings.md and cli.md anew from the code
	$(BIN)/python docs/site/reference.py

docs: $(VENV)/.docs docs/site/node_modules/.installed ## Build the documentation into build/docs/, readable without a server
	@$(BIN)/mkdocs build --quiet --strict
	@echo "file://$(CURDIR)/build/docs/index.html"

migration: $(VENV)/.test ## Write the next migration from the models: make migration NAME="what it does"
	@$(BIN)/python -m tests.new_migration "$(NAME)" && $(BIN)/ruff check --quiet --fix hub/migrations; $(BIN)/ruff format --quiet hub/migrations

bench-nodes: $(VENV)/.test ## Deliveries over three hubs on NATS against one (a minute)
	@$(BIN)/python -m benchmarks.nodes

screenshot: $(VENV)/.test ## Make docs/console.png from the running page
	$(BIN)/python -m tests.browser.screenshot

clean: ## Remove what make installed (not ./data)
	rm -rf $(VENV) build clients/js/node_modules benchmarks/node_modules $(dir $(NODE_TESTS))

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "The hub needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing; on Debian: apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.run: pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the hub into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e clients/python -e .
	@touch $@

$(VENV)/.test: pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the hub and its tests into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e clients/python -e '.[test,docs]'
	@touch $(VENV)/.run $(VENV)/.docs $@

$(VENV)/.docs: pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the hub and its documentation's tools into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e clients/python -e '.[docs]'
	@touch $(VENV)/.run $@

# The fuzzing client was never brought to Python 3. PYTHON27=… names an interpreter that is not found by itself.
$(VENV)/.autobahn: | $(BIN)/python
	@python27=$$(for one in $(PYTHON27) python2.7 python2 pypy $$HOME/.pyenv/versions/2.7*/bin/python2.7; do \
	    "$$one" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null && { echo "$$one"; break; }; done); \
	  test -n "$$python27" || { echo "The Autobahn test suite needs a Python 2.7 with pip, and none was found here. Newer systems do not" \
	    "package it: pyenv install 2.7.18 builds one. Elsewhere installed: make autobahn PYTHON27=/path/to/python2.7"; exit 1; }; \
	  echo "Installing the Autobahn test suite for $$python27 ..."; \
	  "$$python27" -m pip --disable-pip-version-check -qq install --upgrade --target $(VENV)/virtualenv27 'virtualenv<20.16' 2>/dev/null && \
	  PYTHONPATH=$(VENV)/virtualenv27 "$$python27" -m virtualenv --quiet $(VENV)/autobahn && \
	  $(VENV)/autobahn/bin/python -m pip --disable-pip-version-check -qq install autobahntestsuite==25.10.1 2>/dev/null || \
	  { echo "The Autobahn test suite could not be installed for $$python27."; exit 1; }
	@touch $@

$(VENV)/.bench: pyproject.toml clients/python/pyproject.toml constraints.txt benchmarks/package.json | $(BIN)/python
	@echo "Installing the hub and its benchmark's peers ..."
	@$(PIP) install -c constraints.txt -e clients/python -e '.[bench]'
	@cd benchmarks && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-package-lock --no-fund --no-audit
	@touch $(VENV)/.run $@

clients/js/node_modules/.installed: clients/js/package.json | $(VENV)/.test
	@echo "Installing the browser client's checks ..."
	@cd clients/js && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-package-lock --no-fund --no-audit
	@touch $@

$(NODE_TESTS): %/node_modules/.installed: %/package.json | $(VENV)/.docs
	@echo "Installing what $* needs of npm ..."
	@cd $(@D)/.. && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-package-lock --no-fund --no-audit
	@touch $@

.PHONY: constraints
constraints: ## Renew constraints.txt from what the package index has now
	@rm -rf $(VENV)-constraints && $(PYTHON) -m venv $(VENV)-constraints
	@$(VENV)-constraints/bin/python -m pip --quiet install -e clients/python -e '.[test,bench,docs]'
	@{ echo "# Pinned versions of everything that make installs; no addresses. Renew: make constraints"; \
	  $(VENV)-constraints/bin/python -m pip freeze --exclude-editable | grep -v ' @ '; } > constraints.txt
	@rm -rf $(VENV)-constraints

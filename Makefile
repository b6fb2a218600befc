# Everything runs in .venv, made on first use. `make demo` needs the base install only; the rest adds the dev tools.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
RECIPE := pyproject.toml constraints.txt
READER := tests/reader/node_modules

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check docs format clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.base ## Repaint moving scenes live and write demo.mp4 and demo.png
	$(BIN)/python -m vivace.demo

test: $(VENV)/.dev $(READER) ## Run the tests but the slow ones (CPU, a few minutes)
	$(BIN)/python -m pytest $(ARGS)

test-all: $(VENV)/.dev $(READER) ## Run all tests that need no CUDA device
	$(BIN)/python -m pytest -m "not gpu" $(ARGS)

check: $(VENV)/.dev ## Formatting, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house_imports.py

format: $(VENV)/.dev ## Put the code into the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## Build the documents as a site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

clean: ## Remove caches and what the demo wrote; keeps .venv
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo.mp4 demo.png
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A reader of content credentials that shares no code with ours, and React; without npm their tests are skipped.
$(READER): tests/reader/package-lock.json
	@command -v npm >/dev/null || { echo "No npm: the independent reader of credentials is not installed."; exit 0; }; \
	cd tests/reader && npm install --no-save --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error && touch node_modules

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

# The stamps make repeated calls fast: pip runs again only when what it would install has changed.
$(VENV)/.base: $(RECIPE) | $(BIN)/python
	@echo "Installing Vivace into $(VENV) (once, about a minute) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(RECIPE) | $(BIN)/python
	@echo "Installing Vivace with its development tools into $(VENV) (once, a few minutes) ..."
	@$(PIP) --editable '.[dev]'
	@touch $(VENV)/.base $@

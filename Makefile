# Ollama Bridge: `make run` starts it, `make test` proves it, `make check` keeps it clean.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help run test check audit format lock docs bench bench-parts bench-scheduling bench-reports screenshots clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 24

# One stamp per lock file: a changed lock installs again, an unchanged one costs nothing.
$(VENV)/.base: requirements/base.txt
	@test -x $(BIN)/python || { echo "Making the virtual environment in $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing what the bridge runs on (about half a minute the first time) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "Installing what the tests need (about half a minute the first time) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements/dev.txt
	@touch $@

run: $(VENV)/.base ## install and start the bridge on 127.0.0.1:8080, with a key and a working curl line
	@$(BIN)/python manage.py quickstart

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import rooms, migrations, deploy checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_rooms.py
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@BRIDGE_PROFILE=deploy-check $(BIN)/python manage.py check --deploy --fail-level WARNING

audit: ## ask OSV for advisories about the locked packages (needs the net)
	@$(PYTHON) deploy/audit.py

format: $(VENV)/.dev ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## pin and hash requirements/*.in (needs uv)
	@for name in base sso tracing dev; do \
		uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt; \
	done

bench: $(VENV)/.base ## measure beside nginx and LiteLLM's proxy (about 15 minutes; ARGS=--quick for one)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-parts: $(VENV)/.base ## measure HTTP clients and ASGI servers on their own
	@$(BIN)/python -m tests.bench --parts $(ARGS)

bench-scheduling: $(VENV)/.base ## replay traces under each policy and compare with the targets (about 4 minutes)
	@$(BIN)/python -m tests.bench.scheduling $(ARGS)

bench-reports: $(VENV)/.dev ## time the reports over ten million usage records (PostgreSQL) and one million (SQLite)
	@$(BIN)/python -m tests.bench.reports $(ARGS)

screenshots: $(VENV)/.dev ## take the pictures in docs/screenshots (needs Chromium)
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

docs: $(VENV)/.base ## write the tables in docs/ from the code
	@$(BIN)/python -m bridge.env > docs/settings.md

clean: ## remove what was built (not data/)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist

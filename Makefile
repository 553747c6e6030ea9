.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
V := .venv/bin

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(V)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -m venv .venv
	@$(V)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(V)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: lock
lock: $(V)/.ready ## write requirements/dev.txt anew: versions and hashes, no addresses
	@$(V)/uv pip compile --quiet --group pyproject.toml:dev pyproject.toml --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o requirements/dev.txt

.PHONY: lint
lint: $(V)/.ready ## ruff, mypy, shellcheck, shfmt
	@$(V)/ruff check . && $(V)/ruff format --check . && $(V)/mypy

PYTHON ?= python3
BIN := .venv/bin
SHELL := bash
comma := ,
.SHELLFLAGS := -o pipefail -c

# pip downloads some hundred megabytes: each package is named as its turn comes.
install = @echo "Installing reapair[$(1)] and what it needs into .venv"; \
	$(BIN)/pip install --disable-pip-version-check --editable '.[$(1)]' | \
	awk '/^ *(Collecting|Building|Installing)/ { print "  " $$1, $$2; fflush() }'

.PHONY: demo test test-long check lint quick tiny-model clean

demo: .venv/local
	$(BIN)/agent demo
	@echo "For daily use, put agent on your PATH: pipx install '.[local]'   (or: uv tool install '.[local]')"

test: .venv/dev lint
	$(BIN)/pytest

# Hundreds of kills, browsers, clusters, other languages' tools: what is missing is skipped and named.
test-long: .venv/dev
	$(call install,local$(comma)dev$(comma)ray)
	$(BIN)/pytest -m long

check: .venv/dev lint quick

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quick: .venv/dev
	$(BIN)/pytest -m "not engine and not llama and not slow and not long"

tiny-model:
	scripts/tiny_model/make.sh

.venv/local: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install,local)
	touch $@

.venv/dev: .venv/local
	$(call install,local$(comma)dev)
	touch $@

clean:
	rm -rf .venv dist

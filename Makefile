PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long check lint quick tiny-model clean

demo: .venv/local
	$(BIN)/agent demo

test: .venv/dev lint
	$(BIN)/pytest

# Hundreds of kills, browsers, clusters, other languages' tools: what is missing is skipped and named.
test-long: .venv/dev
	$(BIN)/pip install --quiet --editable '.[local,dev,ray]'
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
	$(BIN)/pip install --quiet --editable '.[local]'
	touch $@

.venv/dev: .venv/local
	$(BIN)/pip install --quiet --editable '.[local,dev]'
	touch $@

clean:
	rm -rf .venv dist

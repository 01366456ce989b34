# Two commands on a machine with python3, make and a Python package index:
# `make demo` and `make test`; `make soak` reads 20,000 damaged files.

PYTHON ?= python3
EXTRAS ?= demo,test
BIN := .venv/bin
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test soak clean

demo: .venv/installed
	$(BIN)/python experiments/demo.py

test: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

soak: .venv/installed
	$(BIN)/pytest -n 2 tests/fuzz --cases 20000

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"dfi_jax needs Python 3.11 or later; make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf .venv out

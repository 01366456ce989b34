# Commands on a machine with python3, make and a Python package index: `make demo`, `make test` and
# those of CONTRIBUTING.md.

PYTHON ?= python3
EXTRAS ?= demo,docs,test
SAMPLE ?= 60
SEED ?= 0
BIN := .venv/bin
# Other extras are installed into the same environment.
INSTALLED := .venv/installed-$(EXTRAS)
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test programs docs docs-tables soak mutants test-oldest test-wheel clean

demo: $(INSTALLED)
	$(BIN)/python experiments/demo.py

test: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist worksteal --ignore tests/test_programs.py $(TESTS)

# Every experiment and every benchmark, in small.
programs: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal tests/test_programs.py

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir out/site
	@echo "The pages are in out/site; open out/site/index.html."

# The tables of the pages, from the records of the programs.
docs-tables: $(INSTALLED)
	$(BIN)/python docs/tables.py

# 20,000 damaged files of every kind that the package reads.
soak: $(INSTALLED)
	$(BIN)/pytest -n 2 tests/fuzz --cases 20000

# How many small faults in the code the tests notice; CONTRIBUTING.md explains it.
mutants: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[mutants]'
	$(BIN)/python tests/mutants.py --sample $(SAMPLE) --seed $(SEED) $(AREAS)

# The tests with the oldest versions that pyproject.toml allows.
test-oldest:
	$(PYTHON) -m venv --clear out/oldest
	PIP_CONSTRAINT=constraints-oldest.txt out/oldest/bin/python -m pip install --quiet \
		--editable '.[demo,faces,test,tfds]'
	out/oldest/bin/pytest -n 2 $(TESTS)

# The tests from the sdist, with the wheel installed in an empty environment.
test-wheel: $(INSTALLED)
	rm -rf out/dist out/wheel
	$(BIN)/python -m build --quiet --outdir out/dist
	mkdir out/wheel
	tar -xzf out/dist/*.tar.gz -C out/wheel --strip-components 1
	rm -r out/wheel/dfi_jax
	$(PYTHON) -m venv out/wheel/.venv
	out/wheel/.venv/bin/python -m pip install --quiet "$$(echo out/dist/*.whl)[demo,faces,test]"
	cd out/wheel && .venv/bin/pytest -n 2 $(or $(TESTS),tests)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"dfi_jax needs Python 3.11 or later; make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf .venv out

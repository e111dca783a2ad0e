# Everything goes through .venv, which is built once from pyproject.toml and constraints.txt.
PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help .venv demo test fuzz lint types notebooks results site clean

help:
	@echo "make demo    simulate a cohort, pretrain, evaluate, predict: figures and tables in runs/demo"
	@echo "make test    run the tests (ARGS='tests/model -k name' to choose)"
	@echo "make fuzz    change inputs of every kind, TIMES=6 as often as the tests do (14,000 cases)"
	@echo "make lint    ruff: rules and layout"
	@echo "make types   pyright, strict"
	@echo "make notebooks run docs/notebooks, and keep their outputs"
	@echo "make results the tables of docs/results/inductive, on the real patients (hours; SEEDS=full for three seeds)"
	@echo "make site    the documents as pages in site/, which need no network"
	@echo "make clean   remove runs/demo, caches and .venv"

.venv: .venv/.stamp

# The stamp is written last, so an interrupted installation is taken up again.
.venv/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.stamp
	$(BIN)/prime demo --out runs/demo

# One thread a worker: the workers share the cores. A file stays with one worker, which makes its fixtures once; files
# come in the order of tests/conftest.py.
test: .venv/.stamp
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

TIMES ?= 6
SEED ?= 1
fuzz: .venv/.stamp
	OMP_NUM_THREADS=1 FUZZ_TIMES=$(TIMES) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/fuzz $(ARGS)

lint: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.stamp
	$(BIN)/pyright

notebooks: .venv/.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.notebooks

# One seed on two cores: see docs/results.md for the time. What is done is not done again.
SEEDS ?= quick
MORE ?=
STUDY := --config configs/tcga.yaml --out runs/study-tcga --preset $(SEEDS) --jobs $(WORKERS) $(MORE)
TABLES := table2 table3 table4 comparison metrics same_site intervals next_test sites
FEW := --set 'evaluate.methods=[late_ridge,block_ridge_annotated,shared_ridge]' \
  --set 'evaluate.modes=[lp_shared,lp_shared_annotated]' --set 'evaluate.tasks=[{name: os, endpoint: os}]'

results: .venv/.stamp
	for name in $(TABLES); do $(BIN)/prime study $$name $(STUDY) || exit 1; done
	$(BIN)/prime study figure3 $(STUDY) $(FEW)
	$(BIN)/prime report runs/study-tcga --markdown docs/results/inductive

site: .venv/.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf runs/demo .venv .pytest_cache .ruff_cache .hypothesis dist site
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

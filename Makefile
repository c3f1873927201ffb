# Two commands: `make book` builds the book, `make test` runs every test. Python 3.11+ is all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help book test fuzz lint lab offline picture matrix bench bench-peers clean

help:
	@echo "make book    build the book, executing every notebook"
	@echo "make test    run every test"
	@echo "make fuzz    look for what breaks it: random configs, files, servers, interrupts"
	@echo "make lint    style, types and spelling"
	@echo "make lab     open the notebooks in JupyterLab"
	@echo "make offline one zip for a room without a network: book, notebooks, packages"
	@echo "make picture the picture in README.md, from the built book"
	@echo "make matrix  verify OLMo 3 on five releases of transformers, and beside OLMo-core"
	@echo "make bench   measure what README and book say about speed (make bench-peers first, once)"
	@echo "make clean   remove what the others made"

# torch goes in first and by its exact version, so that nothing else chooses it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("OLMo Explain needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lab,book,test,lint]'
	touch $@

book: $(READY)
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book is in $(CURDIR)/_build/html/index.html"

# Two workers: one builds the book and opens its pages while the other runs the rest.
test: $(READY)
	$(BIN)/pytest --numprocesses 2 --dist worksteal

# make fuzz SECONDS=600 SEED=7; what it finds is seen again with ONLY=configs CASE=1234
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py $(SECONDS:%=--seconds %) $(SEED:%=--seed %) $(ONLY:%=--only %) $(CASE:%=--case %)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell .

lab: $(READY)
	$(BIN)/jupyter lab notebooks

offline: book
	$(BIN)/python scripts/offline.py

picture: book
	$(BIN)/python scripts/picture.py

matrix: $(READY)
	$(BIN)/python scripts/matrix.py

# make bench ONLY=head SEVEN_B=DIRECTORY QUICK=1: one benchmark, on a real checkpoint, just to try it
bench: $(READY)
	$(BIN)/python -m benchmarks $(ONLY:%=--only %) $(SEVEN_B:%=--seven-b %) $(if $(QUICK),--quick)

# nnsight and TransformerLens want their own versions of much: an environment apart.
PEERS := .venv-peers
bench-peers: $(PEERS)/.ready
$(PEERS)/.ready: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --constraint constraints.txt torch
	$(PEERS)/bin/pip install --quiet --editable . --requirement benchmarks/peers.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) _build build dist src/*.egg-info

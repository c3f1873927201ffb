# Two commands: `make book` builds the book, `make test` runs every test. Python 3.11+ is all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help book test lab matrix clean

help:
	@echo "make book    build the book, executing every notebook"
	@echo "make test    run every test"
	@echo "make lab     open the notebooks in JupyterLab"
	@echo "make matrix  verify OLMo 3 on five releases of transformers"
	@echo "make clean   remove what the others made"

# torch goes in first and by its exact version, so that nothing else chooses it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("OLMo Explain needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lab,book,test]'
	touch $@

book: $(READY)
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book is in $(CURDIR)/_build/html/index.html"

test: $(READY)
	$(BIN)/pytest

lab: $(READY)
	$(BIN)/jupyter lab notebooks

matrix: $(READY)
	$(BIN)/python scripts/matrix.py

clean:
	rm -rf $(VENV) _build build src/*.egg-info

# make repro: set up, run the study, print the headline numbers. make test: set up, run the tests. make help: the rest.
# Needs Python >= 3.11, git and make. Another interpreter than python3: make repro PYTHON=/path/to/python3.12

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# A .venv whose making was cut short, or that came here with a moved or copied folder, lacks a pip of this very place.
USABLE := test -x $(BIN)/python && grep -qs "$(CURDIR)/$(BIN)/python" $(BIN)/pip

.PHONY: help setup place repro test lint lock ci-report
.DELETE_ON_ERROR:

help:
	@echo 'make repro   set up .venv, run the study (dvc repro), print where the results are and the headline numbers'
	@echo 'make test    set up .venv, run the tests'
	@echo 'make lint    set up .venv, check style (ruff)'
	@echo 'make ci-report   run the tests and the main model, write ci-report/report.md: what changed against BASE'
	@echo 'make lock    resolve pyproject.toml into requirements.lock anew, with hashes, keeping the pins that still fit'
	@echo 'make setup   set up .venv only; make PYTHON=/path/to/python3.12 setup takes another interpreter'

# DVC itself looks up images.root before it runs stage check, and says less than the check does where it is not there.
repro: setup
	@$(BIN)/python stages/check.py --params params.yaml --out .btlib/params.checked --recipes .btlib/recipes >/dev/null
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m dvc repro
	@$(BIN)/python -m btlib.cli summary

test: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

lint: setup
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

# BASE goes through the environment, so that no branch name becomes shell.
ci-report: test
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m btlib.cli ci-report $${BASE:+--base "$$BASE"}

setup: $(STAMP)

# Before 6 GB are loaded: the interpreter, and the place where the project lies.
place:
	@$(USABLE) || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "btlib needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@python=$(PYTHON); if $(USABLE); then python=$(BIN)/python; fi; $$python -P btlib/core/runtime/place.py

ifneq ($(shell $(USABLE) && echo yes),yes)
.PHONY: $(STAMP)
endif

# The stamp is written last, so that an interrupted set-up is taken up again.
$(STAMP): requirements.lock pyproject.toml | place
	@$(USABLE) || { rm -rf .venv; $(PYTHON) -m venv .venv || { \
	    echo "$(PYTHON) -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; }
	@echo 'Setting up .venv from requirements.lock (the first time about 6 GB, mostly PyTorch with CUDA)'
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# uv lives in a folder of its own: the project's environment holds what requirements.lock names and nothing else.
lock:
	@$(PYTHON) -m venv .btlib/uv && .btlib/uv/bin/pip install --quiet uv
	@.btlib/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

# What a developer or a newcomer types. Works on a bare clone with git, make and Python 3.11, 3.12 or 3.13;
# nothing is compiled: every dependency comes as a wheel.

SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
# The newest Python on the path that every dependency has wheels for, and that can make a venv.
PYTHON3 ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)
DATA ?= ./data
PORT ?= 9000
# How many processes share the tests, each with a server of its own; 0: none beside pytest itself, for a debugger.
JOBS ?= auto

.PHONY: help run install test test-crash-full check format bench docs clean

help:
	@echo "make run               serve S3 on http://127.0.0.1:$(PORT), data in $(DATA)"
	@echo "make test              every test, against real servers"
	@echo "make check             linter, formatter, type checker"
	@echo "make bench             the benchmarks of bench/"
	@echo "make docs              write the files that are generated from the code"
	@echo "make test-crash-full   2,000 kills instead of 50: before a release"

# Stamps: the package and its dependencies are installed again only when pyproject.toml changed.
$(VENV)/bin/python:
	@test -n "$(PYTHON3)" || { echo "Python 3.11, 3.12 or 3.13 with venv is needed and was not found" >&2; exit 1; }
	$(PYTHON3) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(PYTHON) -m pip install -qq --disable-pip-version-check --only-binary=:all: --upgrade "pip>=24" "setuptools>=68" wheel
	$(PYTHON) -m pip install -qq --disable-pip-version-check --prefer-binary --only-binary=:all: --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PYTHON) -m pip install -qq --disable-pip-version-check --only-binary=:all: --no-build-isolation --editable '.[test]'
	@touch $@

install: $(VENV)/installed

run: $(VENV)/installed
	exec $(VENV)/bin/objstore serve $(DATA) --port $(PORT) --log-format text

test: $(VENV)/installed-test
	$(PYTHON) -m pytest -n $(JOBS) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

test-crash-full: $(VENV)/installed-test
	OBJSTORE_TEST_KILLS=2000 $(PYTHON) -m pytest tests/crash $(ARGS)

check: $(VENV)/installed-test
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(VENV)/installed-test
	$(PYTHON) -m bench $(ARGS)

docs: $(VENV)/installed-test
	$(PYTHON) -m tests.support.documents

clean:
	rm -rf $(VENV) build dist *.egg-info

# SPDX-License-Identifier: Apache-2.0
# The developers' front door. Every target sets up by itself what it needs (scripts/setup.sh): nothing to install before.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# Debian keeps mariadbd in /usr/sbin, which is not on everybody's PATH
export PATH := $(PATH):/usr/sbin:/sbin
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

TESTS ?=
ATTACKS ?=
N ?=
MINUTES ?= 30
SEED ?= 1
OUT ?= dist
# workers of pytest: one a core, each with a MariaDB of its own, and one for the lab; 0 for none
JOBS ?= auto
# what runs here, what runs on hosts, and what a package runs
SHELL_SCRIPTS = $(wildcard scripts/*.sh src/stackmend/hosts/scripts/*.sh packaging/*.sh packaging/debian/*.sh) \
	packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm
# tests begin hundreds of programs: none of them is to compile the source anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo check test test-long test-lab attack soak lint bench bench-diagnose docs deb services clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build a toy cloud, break it, audit, plan, apply, undo; needs nothing, touches nothing else
	@scripts/setup.sh demo
	@scripts/timed.sh "the demo" .uv/demo/bin/stackmend demo

check: ## a first answer to a change: ruff, mypy, the layers, and the tests that build no cloud and start no program
	@scripts/setup.sh lint
	@scripts/setup.sh test
	@scripts/timed.sh "ruff, mypy and lint-imports" sh -c '.uv/lint/bin/ruff check -q && .uv/lint/bin/ruff format -q --check && .uv/lint/bin/mypy && .uv/lint/bin/lint-imports >/dev/null && .uv/lint/bin/lint-imports --config lab/pyproject.toml >/dev/null'
	@scripts/timed.sh "the quick tests" .uv/test/bin/python -m pytest -q -n $(JOBS) --maxprocesses 8 -m "quick and not long and not lab" $(TESTS)

test: ## the tests, on a private MariaDB, the services' own migrations, and a real control plane; TESTS="tests/cli -k plan" for some
	@scripts/setup.sh test
	@scripts/timed.sh "the tests" .uv/test/bin/python -m pytest -n $(JOBS) --maxprocesses 8 -m "not long" $(TESTS)

test-long: ## what make test leaves out for its length and needs no lab: every look-alike, hundreds of seeds; TESTS="-k audits" for some
	@scripts/setup.sh test
	@scripts/timed.sh "the long tests" .uv/test/bin/python -m pytest -n $(JOBS) --maxprocesses 8 -m "long and not lab" $(TESTS)

test-lab: ## the tests that use a real control plane, one of an older release too, also those that move whole hosts for many minutes; TESTS="-k volume" for some
	@scripts/setup.sh lab
	@scripts/timed.sh "the tests on the lab" .uv/test/bin/python -m pytest -n 0 -m lab $(or $(TESTS),tests/lab/control_plane)

attack: ## every attack on what the README promises, the long ones too; writes docs/explanation/attacks.md; ATTACKS="-k galera" for some
	@scripts/setup.sh test
	@scripts/timed.sh "the attacks" .uv/test/bin/python scripts/attack.py -n $(JOBS) --maxprocesses 8 $(ATTACKS)

soak: ## damage, audit, apply and undo in a loop on Galera nodes that die at random; MINUTES=30 SEED=1
	@scripts/setup.sh test
	@scripts/timed.sh "the soak" .uv/test/bin/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

lint: ## ruff, mypy, the layers of imports, and shellcheck
	@scripts/setup.sh lint
	@scripts/timed.sh "ruff check" .uv/lint/bin/ruff check
	@scripts/timed.sh "ruff format" .uv/lint/bin/ruff format --check
	@scripts/timed.sh "mypy" .uv/lint/bin/mypy
	@scripts/timed.sh "lint-imports" .uv/lint/bin/lint-imports
	@scripts/timed.sh "lint-imports of the lab" .uv/lint/bin/lint-imports --config lab/pyproject.toml
	@scripts/timed.sh "shellcheck" .uv/lint/bin/shellcheck -x $(SHELL_SCRIPTS)

bench: ## measure against a cloud of N servers: make bench N=100000
	@scripts/setup.sh bench
	@scripts/timed.sh "the benchmark" .uv/test/bin/python -m bench $(if $(N),--servers $(N))

bench-diagnose: ## diagnose injected failures: make bench-diagnose DATASET=DIR (bench/diagnosing.py, bench/locating.py)
	@scripts/setup.sh bench
	@scripts/timed.sh "the diagnoses" .uv/test/bin/python -m bench.diagnosing $(DATASET)
	@scripts/timed.sh "places in the code" .uv/test/bin/python -m bench.locating $(DATASET)

docs: ## the documentation into docs/_build/html, man pages into docs/_build/man; warnings are errors
	@scripts/setup.sh docs
	@scripts/timed.sh "the documentation" .uv/docs/bin/sphinx-build -W --keep-going -q docs docs/_build/html
	@scripts/timed.sh "the man pages" .uv/docs/bin/sphinx-build -W --keep-going -q -b man docs docs/_build/man

deb: ## a Debian package into dist, for the python3 of this machine; EXTRAS="postgresql lab", OUT=FOLDER
	@scripts/setup.sh docs
	@scripts/timed.sh "the man pages" .uv/docs/bin/sphinx-build -q -b man docs docs/_build/man
	@scripts/timed.sh "the package" packaging/debian/build.sh $(OUT)

services: ## only the OpenStack services that the tests run migrations of, into .services
	@scripts/setup.sh services

clean: ## remove what make made here (not Debian's packages, not your .venv, not a .services that is a link)
	@rm -rf .uv docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@for made in .services*; do [ -L "$$made" ] || rm -rf "$$made"; done
	@find src lab tests bench docs scripts -name __pycache__ -type d -prune -exec rm -rf {} +

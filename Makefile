# Tidemill. `make help` says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := PYTHONPATH=operator:. $(BIN)/python
LOCK := operator/requirements/dev.txt
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' operator/tidemill/__init__.py)
# What builds images: docker, podman or buildah, the first that is there.
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(shell command -v $(tool) 2>/dev/null)))
BASE ?= python:3.11-slim
IMAGES := operator steps serving
ARGS ?=

.PHONY: help
help: ## Say what each target does
	@echo "Two commands on a fresh machine: make demo, make test. Each sets up what it needs."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
	  sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
	  while IFS=$$'\t' read -r name says; do printf '  %-14s %s\n' "$$name" "$$says"; done
	@echo
	@echo "More arguments go in ARGS: make test ARGS='tests/unit -k canary'"

.PHONY: setup
setup: $(VENV)/.locked ## Make .venv with the hash-locked requirements

$(VENV)/.locked: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version)." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
	  echo "Debian keeps venv in a package of its own; installing python3-venv." >&2; \
	  rm -rf $(VENV); \
	  { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; } || \
	    { echo "Could not: install python3-venv as root, then try again." >&2; exit 1; }; \
	  $(PYTHON) -m venv $(VENV); }
	@echo "Installing $(LOCK) into $(VENV); the first time takes a minute or two."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@touch $@

.PHONY: fmt
fmt: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only --quiet operator tests
	$(BIN)/ruff format operator tests

.PHONY: lint
lint: setup ## Check style (ruff) and layers (import-linter)
	$(BIN)/ruff check operator tests
	$(BIN)/ruff format --check --quiet operator tests
	PYTHONPATH=operator $(BIN)/lint-imports --no-cache

.PHONY: types
types: setup ## Check types (mypy --strict)
	$(BIN)/mypy

.PHONY: test
test: setup ## Run every test: unit, contract, integration, end to end on a real node
	$(RUN) -m pytest $(ARGS)

.PHONY: demo
demo: setup ## Tell the whole loop on a real cluster with New York flights
	$(RUN) -m tests.demo $(ARGS)

.PHONY: bench
bench: setup ## Measure against named peers and limits
	$(RUN) -m tests.bench $(ARGS)

.PHONY: crds
crds: setup ## Generate crds/ from the models
	$(RUN) -m tidemill.api.crd crds

.PHONY: pipelines
pipelines: setup ## Compile the built-in pipelines
	$(RUN) -m tidemill.pipelines compile

.PHONY: generate
generate: crds pipelines chart manifests ## Generate everything that is generated

.PHONY: chart
chart: crds ## Copy the CRDs into the chart and lint it
	$(RUN) -m tests.laws.generated chart

.PHONY: manifests
manifests: chart ## Render manifests/base from the chart
	$(RUN) -m tests.laws.generated manifests

.PHONY: verify
verify: setup ## Generate everything again in a copy and compare, untracked files included
	$(RUN) -m tests.laws.generated verify

.PHONY: image
image: ## Build the three images, tidemill/<role>:<version>
	@test -n "$(BUILDER)" || { echo "Building images needs docker, podman or buildah." >&2; exit 1; }
	for role in $(IMAGES); do \
	  $(BUILDER) build --build-arg BASE=$(BASE) \
	    --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) -f operator/Dockerfile --target $$role \
	    -t tidemill/$$role:$(VERSION) .; \
	done

.PHONY: cluster-up
cluster-up: setup ## Start the one-node Kubernetes of demo and tests
	$(RUN) -m tests.cluster up $(ARGS)

.PHONY: cluster-down
cluster-down: setup ## End it and clean up, after a crash too
	$(RUN) -m tests.cluster down $(ARGS)

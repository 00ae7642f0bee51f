# `make` lists the targets. What is installed and tested is the wheel, never the tree.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Folders too: their time changes when a file goes.
SOURCES := $(shell find src -not -name '*.py[co]' -not -name __pycache__ 2>/dev/null)

# `make demo -- --exit` and `make demo ARGS=--exit` say the same.
ifeq (demo,$(firstword $(MAKECMDGOALS)))
  ARGS += $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
  $(eval $(filter-out demo,$(MAKECMDGOALS)):;@:)
endif

.PHONY: help demo install system test test-torch check bench bench-drift bench-features bench-optimize bench-rollout bench-serving docs lock clean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Run the whole voyage on real flights (ARGS=--exit ends without waiting)
	@exec $(BIN)/trimtab demo $(ARGS)

install: $(VENV)/.test  ## Create .venv with the locked test tools and the built wheel

# The compiler comes before the wheel, which has a kernel in C where there is one.
test: system install  ## Run every check and every test
	@$(BIN)/python scripts/run_checks.py all

# PyTorch takes 5 GB from the registry, so its format is not checked by `make test` (docs/adr/0028).
test-torch: install  ## Check PyTorch's format in an environment of its own (5 GB)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	    PYTHONPATH=src "$$(scripts/peer-env.sh torch)" -W ignore tests/integration/torch_peer.py "$$folder"

system:
	@scripts/system-packages.sh

check: install  ## Run the fast checks: lint, format, types, layers, unit tests
	@$(BIN)/python scripts/run_checks.py fast

docs: install  ## Run the examples of README.md and docs/
	@$(BIN)/python scripts/run_checks.py docs

bench: $(VENV)/.bench  ## Run the benchmarks of the request path
	@$(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' $(ARGS)

# Each has a folder of its name in benchmarks/, and its peers in environments outside the repository.
bench-drift: $(VENV)/.bench  ## Measure drift against peers and floors
bench-features: $(VENV)/.bench  ## Measure features against peers and floors
bench-optimize: $(VENV)/.bench  ## Measure compact models against peers and floors
bench-rollout: $(VENV)/.bench  ## Simulate guardrails and measure routing and rollback
bench-serving: $(VENV)/.bench  ## Measure serving against hand-written servers
bench-drift bench-features bench-optimize bench-rollout bench-serving:
	@$(BIN)/python benchmarks/$(@:bench-%=%)/run.py $(ARGS)

lock: $(VENV)/.made  ## Make requirements.lock anew from pyproject.toml (UPGRADE=1 takes newer versions)
	@$(PIP) install uv
	@scripts/lock.sh

clean:  ## Remove all that these targets made
	rm -rf $(VENV) build dist .schemathesis .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.made: scripts/make-venv.sh
	@scripts/make-venv.sh $(VENV)
	@touch $@

dist/.wheel: $(VENV)/.made pyproject.toml LICENSE README.md $(SOURCES)
	@mkdir -p dist && rm -f dist/*.whl
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@touch $@

# The lock pins what pip picks; the demo takes no more of it than it needs.
$(VENV)/.demo: dist/.wheel requirements.lock
	@echo "installing trimtab and what its demo needs into $(VENV)"
	@$(PIP) install --constraint requirements.lock "$$(ls dist/*.whl)[demo]"
	@$(PIP) install --no-deps --force-reinstall dist/*.whl
	@touch $@

$(VENV)/.tools: $(VENV)/.made requirements.lock
	@echo "installing the locked tools into $(VENV)"
	@$(PIP) install --requirement requirements.lock
	@touch $@

$(VENV)/.test: $(VENV)/.tools dist/.wheel
	@$(PIP) install --no-deps --force-reinstall dist/*.whl
	@$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.test
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --group bench
	@touch $@

# Every target sets up what it needs: nothing has to be activated or installed by hand, and paths may hold spaces.
# `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test lint golden bench clean

UV_VERSION := 0.13.9
PY := .venv/bin/python
SUTURE := .venv/bin/suture
# A moved checkout gets its own installation: scripts in .venv hold absolute paths.
READY := .venv/.ready-$(shell pwd | cksum | cut -d ' ' -f 1)

# The demo: a hundred delivery days of two hospitals, one on each ERP.
DEMO_START := 2026-01-21
DEMO_DAYS := 100
DEMO_AS_OF := 2026-04-30
DEMO_SCALE := 0.03
DEMO_SEED := 5
DEMO_SITES := H1,H5
DEMO := data/demo/landing

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

setup: $(READY) ## make .venv with the locked packages

$(READY): requirements.lock pyproject.toml
	@found=""; for candidate in python3 python3.13 python3.12 python3.11; do \
	  if command -v "$$candidate" >/dev/null 2>&1 && \
	     "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	  then found="$$candidate"; break; fi; done; \
	if [ -z "$$found" ]; then echo "Python 3.11, 3.12 or 3.13 is needed" >&2; exit 1; fi; \
	if ! $(PY) -c pass 2>/dev/null || ! grep -qF "$$(pwd)/.venv" .venv/pyvenv.cfg; then "$$found" -m venv --clear .venv; fi
	@if ! $(PY) -m uv --version 2>/dev/null | grep -q " $(UV_VERSION)"; then \
	  $(PY) -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"; fi
	@# Compiled once here: a run starts several processes, and where Python may not cache they would compile every time.
	$(PY) -m uv pip sync --quiet --compile-bytecode --python $(PY) requirements.lock
	$(PY) -m uv pip install --quiet --python $(PY) --no-deps --editable .
	@touch $(READY)

# Deliveries are made once; a change of what they are made from or with makes them again.
$(DEMO)/.complete: $(READY) Makefile $(shell find ingest/simulator -name '*.py' 2>/dev/null)
	rm -rf $(DEMO)
	$(SUTURE) simulate --out $(DEMO) --start $(DEMO_START) --days $(DEMO_DAYS) --scale $(DEMO_SCALE) \
	  --seed $(DEMO_SEED) --sites $(DEMO_SITES)
	@touch $@

demo: $(DEMO)/.complete ## simulate two hospitals, run the nightly job, print the close summary
	$(SUTURE) run nightly --landing $(DEMO) --as-of $(DEMO_AS_OF)

dev: $(READY) ## Dagster's web interface on the demo's instance
	$(PY) -m orchestration.dev

lint: $(READY) ## format, lint and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint ## lint and the whole test suite
	@# Generated inputs are the same on every run here; the fuzzers of tests/fuzz go looking for new ones.
	$(PY) -m pytest -n 2 --dist loadfile --hypothesis-profile=ci

golden: $(READY) ## write the golden descriptions of the Dagster graph anew, for review
	$(PY) -m tests.golden.graph

bench: $(READY) ## print the benchmarks
	$(PY) -m benchmarks

clean: ## remove the installation, caches and the demo's instance; never a lake elsewhere
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs
	rm -rf data/demo

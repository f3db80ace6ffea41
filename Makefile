# make pretrain: from a fresh checkout to a pretrained encoder.   make test: every check.
# Another Python: make PYTHON=python3.12 pretrain.   Another environment: make pretrain CONF_ENV=smoke
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
CONF_ENV ?= local

export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: pretrain test test-faults parity bench-train bench-data bench-audit calibrate prove-curation viz ui install
.DEFAULT_GOAL := pretrain

pretrain: $(STAMP)
	$(BIN)/kedro run --pipeline pretrain --env $(CONF_ENV)

install: $(STAMP)

# Made once, and again when what is to be installed has changed.
$(STAMP): pyproject.toml constraints.txt
	@set -e; python="$(PYTHON)"; \
	for each in python3.11 python3.12 python3.13 python3; do \
	    [ -z "$$python" ] && "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python="$$each"; \
	done; \
	[ -n "$$python" ] || { echo "No Python 3.11 or later was found. Install one, or name it: make PYTHON=/path/to/python3.11 pretrain" >&2; exit 1; }; \
	[ -x $(BIN)/python ] || { echo "Making $(VENV) with $$python"; "$$python" -m venv $(VENV); }
	@echo "Installing allears and what it needs into $(VENV) (some minutes the first time)"
	$(BIN)/python -m pip install --quiet 'pip>=25'  # the one that comes with Python may need twice the time
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,viz]'
	@touch $@

test: export OMP_NUM_THREADS := 1
test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15

# What runs in these are scripts of tests/benchmark; RESULTS.md holds what they printed last.
bench-train: scripts := bench_reader bench_startup bench_train bench_processes bench_wav2vec2
parity: scripts := parity
bench-data: scripts := bench_data bench_plan bench_scale bench_remote
bench-audit: scripts := bench_audit bench_audit_tables bench_duplicates bench_unchanged
calibrate: scripts := calibrate calibrate_measures calibrate_fingerprint calibrate_texts
prove-curation: scripts := prove_curation
parity bench-train bench-data bench-audit calibrate prove-curation: $(STAMP)
	@$(BIN)/python tests/benchmark/in_turn.py $(scripts)

# The long versions of the fault tests, and the tables that stand in RESULTS.md.
test-faults: export OMP_NUM_THREADS := 1
test-faults: export ALLEARS_LONG := 1
test-faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults tests/integration/test_withdraw.py tests/integration/test_several_corpora.py \
		tests/integration/test_cluster.py tests/unit/corpus/test_deliveries.py tests/unit/shards/test_packing.py \
		tests/unit/reporting/test_audit_page.py::test_many_clips_give_a_small_page --durations 15
	$(BIN)/python -m tests.faults.fuzz_decode

viz: $(STAMP)
	$(BIN)/kedro viz run

ui: $(STAMP)
	$(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

# Three doors to the same code: `make`, `snakemake` and `crossmod`. Only Python >= 3.11 and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCALE ?= laptop
STUDY ?= renal
WORKERS ?= 2

# uv reads no pip configuration: it is told what the machine's pip knows, be it a CPU build of torch or an index of its own.
pip_knows = $$($(PYTHON) -m pip config list 2>/dev/null | sed -n "s/^\(global\|install\)\.$(1)='\(.*\)'$$/\2/p" | tail -1 | sed 's/\\n/ /g' | xargs | tr ' ' ,)

export UV_COMPILE_BYTECODE := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help env reproduce test lint weights ui lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

env: $(STAMP)  ## set everything up in .venv (idempotent)

$(STAMP): requirements.lock requirements.sha256 pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"crossmod needs Python 3.11 or newer; $(PYTHON) is {v.major}.{v.minor}. Name another one: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^uv==/, !/\\$$/' requirements.sha256 > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@wheels="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$(call pip_knows,find-links)}}"; \
	index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$(call pip_knows,index-url)}}"; \
	if [ -n "$$wheels" ]; then export UV_FIND_LINKS="$$wheels"; fi; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	echo "installing what requirements.lock pins (a few minutes on a slow line)"; \
	$(BIN)/uv pip install --python $(BIN)/python --quiet -r requirements.lock -c requirements.sha256 && \
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@

reproduce: env  ## the whole study, from scans to p-values
	snakemake --config study=$(STUDY) scale=$(SCALE)

# Statistics are many small matrices: a second BLAS thread only makes them wait.
test: export OPENBLAS_NUM_THREADS := 1
test: env lint  ## every test
	pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

lint: env  ## style and types of Python and Snakemake files
	ruff check . && ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

weights: env  ## train the networks of `crossmod measure` anew, on simulated patients, and put them into the package
	snakemake weights --config study=measure
	crossmod ship

ui: env  ## browse the runs of a study (loopback only)
	crossmod ui --study $(STUDY)

lock:  ## resolve all versions anew (torch brings its own CUDA where there is a GPU)
	$(BIN)/uv lock --quiet
	$(BIN)/uv export --quiet --no-hashes --no-emit-project --all-groups --no-annotate --no-header \
		| grep -vE '^(nvidia|cuda|triton)' > requirements.lock
	grep -v '^torch==' requirements.lock | $(BIN)/uv pip compile --quiet --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --output-file requirements.sha256 -
	rm uv.lock

clean:  ## remove the environment (results stay)
	rm -rf $(VENV)

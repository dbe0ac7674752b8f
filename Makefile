# `make demo` runs the sample crawl to a report and a small model; `make test` and `make check` need nothing set up before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test check peers readers litgpt clean

demo: $(STAMP)
	$(BIN)/crawlmill run dag.yaml
	$(BIN)/crawlmill generate "The function" --output runs/demo --max-new-tokens 40

test: $(DEV_STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: .peers/.installed

readers: .readers/.installed

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.peers/.installed: ../shared/peers/requirements.txt benchmarks/peers.txt
	test -x .peers/bin/python || $(PYTHON) -m venv .peers
	.peers/bin/pip install --quiet --upgrade pip
	.peers/bin/pip install --quiet $(addprefix -r ,$^)
	touch $@

# What exports are read back with. Without it `make test` skips those tests.
.readers/.installed: tests/pipeline/export/readers.txt constraints.txt
	test -x .readers/bin/python || $(PYTHON) -m venv .readers
	.readers/bin/pip install --quiet --constraint constraints.txt torch
	.readers/bin/pip install --quiet --no-deps -r $<
	touch $@

# The peer of benchmarks/pretrain.py.
litgpt: .litgpt/.installed

.litgpt/.installed: constraints.txt
	test -x .litgpt/bin/python || $(PYTHON) -m venv .litgpt
	.litgpt/bin/pip install --quiet --constraint constraints.txt torch numpy
	.litgpt/bin/pip install --quiet litgpt==0.5.13 torch==2.13.0
	touch $@

clean:
	rm -rf $(VENV) .peers .readers .litgpt runs

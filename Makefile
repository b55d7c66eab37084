# One door for each job. Everything is done by .venv/bin/python, so that the path of the clone may hold spaces.
.PHONY: help setup demo stop test check bench bench-whole soak clean

PYTEST_OPTIONS ?= -n 2 --dist loadfile

help:
	@echo "make demo    set up, start the platform, train and deploy a model, call it"
	@echo "make stop    stop the demo's platform"
	@echo "make test    run the tests"
	@echo "make check   run ruff and mypy"
	@echo "make bench   run the benchmarks' quick forms, write docs/benchmarks.md; make bench-whole the whole forms"
	@echo "make soak    run the long proofs: random kills, 20,000 requests after the OpenAPI document"
	@echo "make clean   stop the demo's platform; remove its data and what setup made"

setup:
	@sh scripts/setup

demo: setup
	@.venv/bin/python scripts/demo.py

stop:
	@.venv/bin/python -m slipway.cli.main down --data .slipway

test: setup
	@sh scripts/prepare-tests
	.venv/bin/python -m pytest $(PYTEST_OPTIONS) -rs

check: setup
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m mypy tests scripts benchmarks

bench: setup
	.venv/bin/python -m benchmarks --quick

bench-whole: setup
	.venv/bin/python -m benchmarks

soak: setup
	.venv/bin/python -m benchmarks.kill_points
	.venv/bin/python -m benchmarks.openapi

clean:
	@if [ -x .venv/bin/python ] && [ -d .slipway ]; then .venv/bin/python -m slipway.cli.main down --data .slipway; fi
	rm -rf .venv .slipway .cache .mypy_cache .ruff_cache .pytest_cache

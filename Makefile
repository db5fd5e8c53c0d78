# The two commands that matter: `make demo` and `make test`. Each does all the set-up it needs, quickly when
# there is nothing to do. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN   := .venv/bin
SEEDS ?= 1-200
SIM   ?= --processes 2
BENCH ?= $(filter-out benchmarks/sink_agent.py benchmarks/fake_scaling.py,$(sort $(wildcard benchmarks/*.py)))

.PHONY: help demo given test lint sim bench setup environment engine balancer cloudinit registry disks database clean

help: ## Say what each target does
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: setup ## Run the demo: a cloud of two instances, real containers, faults and all (about a minute)
	@$(BIN)/python scripts/demo.py

given: setup ## Run the second demo: roles, secrets, logs, a shell, and networks of tasks (root on Linux; a minute)
	@$(BIN)/python scripts/demo_given.py

test: setup cloudinit registry disks database ## Run every check: ruff, mypy, then every test against a real Docker Engine
	@# LocalStack is installed while types are checked: the one waits for downloads, the other for a core.
	@$(BIN)/python -m tests.support.localstack & installing=$$!; $(MAKE) --no-print-directory lint; wait $$installing
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: environment ## Run ruff and strict mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(BIN)/mypy --strict scripts/*.py

sim: environment ## Run the simulator over more worlds: make sim SEEDS=1-2000
	@$(BIN)/python -m tests.sim.run --seeds $(SEEDS) $(SIM)

bench: setup ## Run the benchmarks, or one: make bench BENCH=benchmarks/placement.py
	@for file in $(BENCH); do echo "== $$file"; $(BIN)/python "$$file"; done

setup: environment engine balancer ## Create .venv, find or start Docker Engine, find HAProxy, build the samples' image

environment:
	@scripts/environment

engine: environment
	@$(BIN)/python scripts/docker_engine.py
	@$(BIN)/python scripts/busybox_image.py

balancer: environment
	@$(BIN)/python scripts/haproxy.py

cloudinit: environment
	@$(BIN)/python scripts/cloud_init.py

registry: environment
	@$(BIN)/python scripts/registry.py

disks: environment
	@$(BIN)/python scripts/file_systems.py

database: environment
	@$(BIN)/python scripts/postgresql.py

clean: ## Remove what make made in this folder (.venv and the tools' caches)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

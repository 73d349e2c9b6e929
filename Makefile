# The two commands that matter: `make demo` (the main job) and `make test` (every test). `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# What `safehold files` reads disks with: named in operator/safehold/files/programs.py.
FILE_PACKAGES := nbdkit nbdkit-plugin-python guestfish lvm2 xfsprogs ntfs-3g fdisk linux-image-cloud-amd64
export UV_PYTHON_DOWNLOADS := never
# Tests and demo start hundreds of Python programs; without compiled modules each start takes three times as long.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup system fmt lint types layers crds vectors test soak demo sandbox bench bench-fleet

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-11s %s\n", $$1, $$2}'

setup: .venv/.ready ## make .venv from the lock file
	@$(BIN)/python -m compileall -q operator hack

.venv/.ready: uv.lock pyproject.toml
	@echo "Setting up .venv (about 20 s)"
	@[ -x $(BIN)/uv ] || { $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --disable-pip-version-check uv; }
	@$(BIN)/uv sync --frozen --quiet
	@touch $@

system: ## install the Debian packages that the sandbox's guests need (root)
	@hack/system-packages.sh

fmt: setup ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup ## ruff
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup ## mypy, strict
	@$(BIN)/mypy

layers: setup ## import-linter
	@$(BIN)/lint-imports

crds: setup ## generate crds/, the reference pages and the protobuf messages
	@$(BIN)/python hack/gen_crds.py && $(BIN)/python hack/gen_reference.py && $(BIN)/python hack/gen_reasons_doc.py
	@$(BIN)/python hack/gen_snapshot_metadata.py

vectors: setup ## make the test vectors of the repository's format again
	@$(BIN)/python hack/gen_vectors.py

test: setup system lint types layers ## every check and every test
	@hack/system-packages.sh $(FILE_PACKAGES)
	@hack/run-tests.sh

soak: setup ## heavy rounds: backups and restores of busy guests (ROUNDS=100), and Ceph as the store (root)
	@hack/system-packages.sh radosgw ceph-mon ceph-osd ceph-common
	@$(BIN)/pytest -m soak

demo: setup system ## the main job, from policy to restored guest
	@$(BIN)/python -m sandbox.demo

sandbox: setup system ## keep a cluster with Safehold and two guests running, and print how to reach it
	@$(BIN)/python -m sandbox.demo --stage --state .sandbox/stage

bench: setup ## Safehold beside restic and borg, about 15 minutes (BENCH_DISK=, ROWS=, ROUNDS=, RESTIC=)
	@$(BIN)/python -m bench

bench-fleet: setup ## one controller among 5,000 VMs, about 25 minutes (FLEET_MINUTES=, FLEET_VMS=)
	@$(BIN)/python -m bench.fleet

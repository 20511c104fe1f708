# `make help` is the developer manual. Every target can be run twice; none of them fails softly.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One target after the other: cargo uses every core by itself, and tests that may run side by side do so, two at a time.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
FUZZ_SECONDS ?= 10
# Tests build the program with mistakes in it: make bpf BPF_FLAGS=-DMUTATE_PLAIN_ADDS BPF_OBJECT=/tmp/mutated.o
BPF_FLAGS ?=
BPF_OBJECT ?= bpf/accounting.bpf.o
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# A file stays with one worker, for the tests of a file may share what is dear to make.
TWO_AT_ONCE := -n 2 --dist loadfile
CARGO_FUZZ := .build/tools/bin/cargo-fuzz
UV := .build/lock/bin/uv

# Settings of this machine must neither reach the locks nor make pip look elsewhere than its index.
unexport PIP_FIND_LINKS UV_FIND_LINKS
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RUST_FILES := $(shell find crates/core crates/python -name target -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)
QUICK_TESTS := tests/unit tests/property
OTHER_TESTS := $(filter-out $(QUICK_TESTS) tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))
PY_SOURCES := python/netledger tests demo bench

.PHONY: help
help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

## The two of the README

.PHONY: demo test
demo: system-demo build ## count real traffic between network namespaces, with the proof; needs root (DEMO=--without-bpf: by NFLOG)
	$(BIN)/python demo/run $(DEMO)

.PHONY: day
day: system-demo build ## an operator's day as a transcript: install, run, report, a full disk, audit; needs root
	$(BIN)/python demo/day

test: system build check test-rust fuzz ## everything but the benchmarks; on a machine without root or peers some tests are skipped
	$(PYTEST) $(TWO_AT_ONCE) $(filter-out tests/crash,$(OTHER_TESTS))
	$(PYTEST) tests/crash

## Building

.PHONY: build system system-demo
build: .build/native.stamp ## .venv with the locked packages, and the native module in it

# pip itself comes first: the one that an older Python brings cannot install what maturin asks for.
.build/venv.stamp: requirements/dev.lock
	@command -v $(PYTHON) >/dev/null || { echo "build: $(PYTHON): not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "build: $(PYTHON) is $$($(PYTHON) -V 2>&1), and 3.11 or newer is needed" >&2; \
		echo "hint: make build PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "build: $(PYTHON) cannot make virtual environments" >&2; \
		echo "hint: apt-get install python3-venv" >&2; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: \
		-r <(sed -n '/^pip==/,/# via/p' requirements/dev.lock)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements/dev.lock
	mkdir -p .build && touch $@

# The dependencies are there by now, with their hashes checked; nothing may be fetched at this point.
.build/native.stamp: .build/venv.stamp pyproject.toml Cargo.toml Cargo.lock bpf/accounting.bpf.o $(RUST_FILES)
	@command -v cargo >/dev/null || { \
		echo "build: cargo: not found" >&2; echo "hint: install Rust from https://rustup.rs" >&2; exit 1; }
	@echo '#include <libelf.h>' | gcc -include zlib.h -fsyntax-only -x c - 2>/dev/null && command -v pkg-config >/dev/null || { \
		echo "build: a C compiler, pkg-config, libelf or zlib is missing; the native module loads BPF programs with them" >&2; \
		echo "hint: apt-get install gcc make pkg-config libelf-dev zlib1g-dev" >&2; exit 1; }
	PIP_NO_INDEX=1 PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --quiet
	$(BIN)/python -c 'import netledger._core'
	touch $@

.PHONY: bpf
# The object is committed, for who builds netledger needs no clang; CI makes it anew and compares. It is the same wherever the
# source lies: without the lines for debuggers, and with names from here on in those for the verifier's log.
bpf: ## the program that counts in the kernel, anew from bpf/*; needs clang 14 and llvm-strip
	clang --target=bpfel -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I/usr/include/$$(uname -m)-linux-gnu \
		-fdebug-prefix-map=$(CURDIR)=. $(BPF_FLAGS) -c bpf/accounting.bpf.c -o $(BPF_OBJECT)
	llvm-strip -g $(BPF_OBJECT)

system: ## Debian packages that the tests need (installs them as root, else says what is missing)
	@.ci/system tests

system-demo: ## Debian packages that the demo needs
	@.ci/system demo

## Checking

.PHONY: check test-rust test-kernel test-crash test-compat golden-update fuzz bench docs
check: build ## lint, types, layers, stub of the native module, unit tests; some minutes
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy $(PY_SOURCES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m mypy.stubtest --concise netledger._core
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(PYTEST) -q $(TWO_AT_ONCE) $(QUICK_TESTS) tests/test_*.py

test-rust: ## unit and property tests of the core, and its documentation
	cargo test --quiet --locked -p netledger-core
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --locked --no-deps --document-private-items -p netledger-core

test-kernel: build ## real packets through a real kernel, as root
	$(PYTEST) $(TWO_AT_ONCE) tests/kernel

test-crash: build ## kills, power cuts and full disks at awkward moments, then the sums
	NETLEDGER_EXAMPLES=24 $(PYTEST) tests/crash tests/property/test_store_once.py

test-compat: build ## the old commands, byte for byte, and the golden captures
	$(PYTEST) $(TWO_AT_ONCE) tests/compat tests/golden

golden-update: build ## write the golden files anew; look at the difference before committing it
	$(PYTEST) tests/golden tests/compat --golden-update

fuzz: $(CARGO_FUZZ) ## every parser, FUZZ_SECONDS (10) each
	@targets=$$($(CARGO_FUZZ) fuzz list --fuzz-dir crates/fuzz); \
	[ -n "$$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }; \
	for target in $$targets; do \
		echo "fuzz $$target"; \
		mkdir -p .build/corpus/$$target crates/fuzz/corpus/$$target; \
		$(CARGO_FUZZ) fuzz run --fuzz-dir crates/fuzz --sanitizer none $$target \
			.build/corpus/$$target crates/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0; \
	done

$(CARGO_FUZZ):
	cargo install --quiet cargo-fuzz --version 0.13.2 --locked --root .build/tools

bench: build system ## other programs and this one side by side, ratios printed
	$(BIN)/python bench/run

docs: build ## write the reference pages from the program, then look for dead links
	$(BIN)/python -m tests.reference
	$(PYTEST) -q tests/test_docs.py

## Keeping house

.PHONY: lock clean
lock: $(UV) ## requirements/*.lock and Cargo.lock anew from what is asked for
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links requirements/runtime.in -o requirements/runtime.lock
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -c requirements/runtime.lock \
		requirements/runtime.in requirements/dev.in -o requirements/dev.lock
	cargo update --quiet

$(UV):
	$(PYTHON) -m venv .build/lock
	.build/lock/bin/python -m pip install --quiet uv==0.13.8

clean: ## remove everything that was built
	rm -rf .venv .build target crates/fuzz/target dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -f python/netledger/_core*.so

# Everything a contributor or CI runs. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL: # cargo runs in parallel itself, and the order of the stages is meant

# CI builds exactly what Cargo.lock says; at a desk cargo may add a dependency that was just written down.
LOCKED := $(if $(CI),--locked)
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
EVAL_ONLY_DIR := target/eval-only

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: python ## check the tools and bring libtorch 2.11 into third_party/ (or use yours: LIBTORCH, Python's torch)
	@python3 scripts/setup.py

.PHONY: build
build: ready ## both binaries in release: target/release/{smalti,smalti-torch}
	cargo build $(LOCKED) --release -p smalti --bins

.PHONY: demo
demo: build ## from nothing to a scored, drawn and fine-tuned panoptic model on the embedded data set
	@scripts/demo.sh

.PHONY: test
test: ready test-scripts test-docs test-rust ## the whole test suite (cargo nextest where it is installed)

.PHONY: lint
lint: ready ## formatting, clippy with warnings as errors; shellcheck and cargo-deny where installed
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	cargo clippy $(LOCKED) -p smalti --all-targets --no-default-features -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check bans licenses sources; fi

# With --examples cargo settles features as it does for tests and clippy, and what those checked need not be checked again.
.PHONY: docs
docs: ready ## API documentation in target/doc, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --workspace --no-deps --lib --bins --examples

.PHONY: eval-only
eval-only: tools ## the scorer without libtorch: target/eval-only/release/smalti
	cargo build $(LOCKED) --release -p smalti --bin smalti --no-default-features --target-dir $(EVAL_ONLY_DIR)
	@scripts/check-no-libtorch.sh $(EVAL_ONLY_DIR)/release/smalti

.PHONY: kernels
kernels: tools ## the native kernels under sanitizers, CPU ones and (on an emulated device) CUDA ones, against their definitions
	@$(MAKE) -C ops/csrc/tests -j 2 check

.PHONY: cuda
cuda: tools ## compile the CUDA kernels for every architecture; registers, shared memory, spills; ARGS="--arch 90"
	@python3 -B scripts/cuda_compile.py --jobs 2 $(ARGS)

.PHONY: compare
compare: tools ## smalti score against the official scorers on random cases: CASES=200 COMPARE_SEED=0 METRICS=...
	@python3 -B scripts/peers/compare_score.py --cases $(or $(CASES),200) $(METRICS)

.PHONY: bench-score
bench-score: tools ## smalti score timed beside its peers: ARGS="--repeat 5 --slow --tenfold --floors"
	@python3 -B scripts/peers/bench_score.py $(ARGS)

.PHONY: bench-ops
bench-ops: ready ## the native ops timed beside their peers: ARGS="--shapes 56x56 --batch 1 --skip natten"
	@python3 -B scripts/peers/bench_ops.py $(ARGS)

.PHONY: bench-model
bench-model: ready ## the classifiers timed beside timm, transformers, torchvision, NATTEN: ARGS="swin davit --train --max-params 100"
	@python3 -B scripts/peers/bench_model.py $(ARGS)

.PHONY: bench-mask
bench-mask: ready ## Mask2Former timed beside transformers with the same weights: ARGS="--size 512 --batch 1 --objects 10"
	@python3 -B scripts/peers/bench_mask_model.py $(ARGS)

.PHONY: bench-loader
bench-loader: tools ## the training loader timed beside torch's DataLoader on Pillow, OpenCV, torchvision: ARGS="lsj-instance --repeat 5"
	@python3 -B scripts/peers/bench_loader.py $(ARGS)

.PHONY: bench-check
bench-check: tools ## smalti data check timed beside decoding the same images: ARGS="--images 400 118000 --distinct"
	@python3 -B scripts/peers/bench_check.py $(ARGS)

.PHONY: fuzz
fuzz: tools ## damaged input to the readers, SECONDS=600 in all, SEED=0: stops at the first finding
	cargo run $(LOCKED) -p smalti-evaluation --example fuzz_readers -- --seconds $(or $(SECONDS),600) --seed $(or $(SEED),0)

.PHONY: bench
bench: ready ## all of cargo's benchmarks; one crate: make bench CRATE=smalti-ops
	cargo bench $(LOCKED) $(if $(CRATE),-p $(CRATE),--workspace) --benches

.PHONY: clean
clean: ## remove what was built; libtorch in third_party/ stays
	cargo clean

.PHONY: distclean
distclean: clean ## also remove libtorch, the embedded data set and the demo's runs
	rm -rf third_party data/demo data/synth data/synth-classes runs/demo runs/demo-[0-9]*

# --- parts of the targets above ---

.PHONY: python
python:
	@command -v python3 >/dev/null || { echo "setup: no python3: sudo apt-get install python3 python3-pip" >&2; exit 2; }

.PHONY: ready
ready: python
	@python3 scripts/setup.py --quiet

.PHONY: tools
tools: python
	@python3 scripts/setup.py --quiet --tools-only

.PHONY: test-scripts
test-scripts: python
	@python3 -B -m unittest discover --buffer -s scripts/tests -t scripts

.PHONY: test-docs
test-docs: ready
	cargo test $(LOCKED) --workspace --doc --quiet

# Tests run side by side, each with its own OpenMP threads: waiting threads must sleep, not spin.
# Every process that loads libtorch pays 0.2 s for it; nextest starts one a test, and is still the faster and
# clearer runner, with a time limit for each test (.config/nextest.toml).
.PHONY: test-rust
test-docs test-rust: export OMP_WAIT_POLICY = passive
test-rust: ready
ifeq ($(NEXTEST),yes)
	cargo nextest run $(LOCKED) --workspace
else
	cargo test $(LOCKED) --workspace --lib --bins --tests
endif

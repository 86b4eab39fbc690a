# The commands that people and CI use. `make` alone lists them.

# Everything is linked statically, so that one program runs anywhere: in a
# container without a shell, and in the virtual machine of the tests. That needs
# the target to be named, as procedural macros cannot be static.
# (Without the compiler, as for root, `make install` still finds what another user built.)
HOST := $(or $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p'),$(shell uname -m)-unknown-linux-gnu)
export CARGO_BUILD_TARGET := $(HOST)
export RUSTFLAGS := -C target-feature=+crt-static

# Linked so, a library would not find getrandom(2), and would keep /dev/urandom open instead: also in
# the sidecar's second process, which closes all files that it does not know.
RUSTFLAGS += --cfg getrandom_backend="linux_getrandom"

# Panics name source files; where those lie on the builder's machine is nobody's business, and
# two machines are to make the same program.
RUSTFLAGS += --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
RUSTFLAGS += --remap-path-prefix=$(CURDIR)=/source

RELEASE := target/$(HOST)/release
DEBUG := target/$(HOST)/debug
PUBLISHED := disk-mounter disk-builder
XTASK := $(RELEASE)/xtask
PROGRAMS := $(RELEASE)/disk-mounter $(RELEASE)/disk-builder $(RELEASE)/testvm

# Where `make install` puts things. DESTDIR stands before it where a package is made.
PREFIX ?= /usr/local

.PHONY: help
help:
	@sed -n 's/^## //p' Makefile

## make demo    from a real model to a verified mount, and a changed disk refused
##              (DEMO_MODEL=generated takes a model that is made here, and not one of PyPI)
.PHONY: demo
demo: setup-demo programs
	@tools/scripts/demo.sh $(PROGRAMS)

## make test    every test there is, with the time of each tier; those of a Kubernetes node where
##              KUBERNETES_BIN=DIR names its programs
.PHONY: test
TIERS := check test-testvm test-privileged test-newest-kernel test-power-off test-peers \
    test-aarch64 test-deploy test-packages test-hub test-audit $(if $(KUBERNETES_BIN),test-kubernetes)
test:
	+@tools/scripts/tiers.sh $(MAKE) $(TIERS)
	@$(if $(KUBERNETES_BIN),,echo "Nothing was tried on a Kubernetes node: that is make test-kubernetes")

## make check   the quick part of it: formatting, lints, tests without a kernel
.PHONY: check
check: setup-tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features xtask/packages --quiet -- -D warnings
	cargo clippy --locked --test privileged --test kubernetes --quiet -- -D warnings
	cargo test --locked --workspace --exclude testvm --features xtask/packages --quiet
	cargo check --locked --package disk-mounter-fuzz --features libfuzzer --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --features xtask/packages --no-deps --quiet

## make fuzz    each fuzz target for SECONDS=60 (FUZZ="disk erofs" names some; SANITIZER=none is without one):
##              docs/fuzzing.md
.PHONY: fuzz
fuzz: setup-fuzz
	@tools/scripts/fuzz.sh $(or $(SECONDS),60) $(FUZZ)

# testvm's own tests, which boot the virtual machine.
.PHONY: test-testvm
test-testvm: setup-tests
	cargo test --locked --package testvm --quiet

# The tests of the mounter on a kernel with dm-verity; KERNEL=7.3 names one that testvm has.
.PHONY: test-privileged
test-privileged: setup-tests programs
	cargo build --locked --quiet --test privileged
	KERNEL=$(KERNEL) tests/privileged/run.sh $(PROGRAMS) \
	    "$$(cargo test --locked --test privileged --no-run 2>&1 | sed -n 's/.*(\(.*\))$$/\1/p')" $(TESTS)

# Builds that a virtual machine does not survive.
.PHONY: test-power-off
test-power-off: setup-tests programs
	KERNEL=$(KERNEL) tests/power_off/run.sh $(RELEASE)/disk-builder $(RELEASE)/testvm

# The peers' own tests, with our programs in the place of theirs: docs/peers.md.
.PHONY: test-peers
test-peers: setup-tests programs
	tests/peers/run.sh $(RELEASE)/disk-builder $(RELEASE)/testvm

## make test-kernels   what needs a kernel, on each that testvm has: docs/kernels.md
KERNELS := 6.1 6.12 7.3
.PHONY: test-kernels
test-kernels:
	@for kernel in $(KERNELS); do \
	    echo "Linux $$kernel:" && $(MAKE) test-privileged test-power-off KERNEL=$$kernel || exit; \
	done

# The same on the newest of them alone, and of that what may differ from kernel to kernel: what takes
# long for other reasons is left to test-kernels.
.PHONY: test-newest-kernel
LONG := hangs hostile races building reflink power oci
test-newest-kernel:
	@$(MAKE) test-privileged KERNEL=$(lastword $(KERNELS)) TESTS="$(LONG:%=--skip %::)"

# That the programs compile for 64-bit ARM, and what is for such a CPU.
.PHONY: test-aarch64
test-aarch64: setup-arm
	tests/aarch64/run.sh

# The sidecar on a real Kubernetes node. KUBERNETES_BIN=DIR names the programs of Kubernetes, which are
# downloaded otherwise.
.PHONY: test-kubernetes
test-kubernetes: setup-tests programs
	cargo build --locked --quiet --test kubernetes
	tests/kubernetes/run.sh $(PROGRAMS) \
	    "$$(cargo test --locked --test kubernetes --no-run 2>&1 | sed -n 's/.*(\(.*\))$$/\1/p')" $(TESTS)

# The container images and the Kubernetes manifests.
.PHONY: test-deploy
test-deploy: setup-tests programs packager
	tests/deploy/run.sh $(RELEASE)/disk-mounter $(RELEASE)/disk-builder

# Manual pages, completions, installation, packages; and that all of it is reproducible.
.PHONY: test-packages
test-packages: setup-tests published packager
	tests/packages/run.sh $(RELEASE) $(HOST)

# The hub's own client, which must download what disk-builder fetches.
.PHONY: test-hub
test-hub: setup-tests published
	cargo build --locked --quiet --release --package test-support
	tests/hub/run.sh $(RELEASE)/disk-builder $(RELEASE)/hub-server

# That an audit fails for what it should fail for.
.PHONY: test-audit
test-audit: setup-tests
	tests/audit/run.sh

## make audit   what the programs are made of: advisories, licences, sources, and what is banned
.PHONY: audit
audit: setup-audit
	@tools/scripts/audit.sh
	cargo tree --edges normal --package disk-mounter
	cargo tree --edges normal --package disk-builder

# Where the images are to be: the archives name them after it.
REGISTRY ?= docker.io/library

## make image   the container images, in target/image, and their digests; REGISTRY=docker.io/library
.PHONY: image
image: setup-images published packager
	@$(XTASK) image target/image $(RELEASE)/disk-mounter --registry $(REGISTRY)
	@$(XTASK) image target/image $(RELEASE)/disk-builder --registry $(REGISTRY)

## make install   the programs, manual pages and completions, under PREFIX=/usr/local
.PHONY: install uninstall
install: $(if $(shell command -v cargo),published packager)
	@[ -x $(XTASK) ] || { echo "$(XTASK) is missing: make build" >&2; exit 1; }
	@$(XTASK) install "$(DESTDIR)$(PREFIX)" $(RELEASE) $(PUBLISHED)

## make uninstall   removes them again
uninstall:
	@$(or $(wildcard $(XTASK)),cargo run --quiet --locked --package xtask --) \
	    uninstall "$(DESTDIR)$(PREFIX)" $(PUBLISHED)

## make deb     a Debian package of each program, in target/dist
.PHONY: deb
deb: setup-packages published packager
	@$(XTASK) deb target/dist $(RELEASE) $(HOST) $(PUBLISHED)

## make dist    what is published of a release, reproducible: archive, packages, SBOMs, provenance,
##              checksums; SIGN_KEY=FILE signs it with a key of SSH, BUILDER=URI says who makes it
.PHONY: dist
dist: setup-packages $(if $(SIGN_KEY),setup-signing) published packager
	@$(XTASK) dist target/dist $(RELEASE) $(HOST) $(PUBLISHED) \
	    $(if $(SIGN_KEY),--sign-key "$(SIGN_KEY)") $(if $(BUILDER),--builder "$(BUILDER)")

## make bench   against veritysetup, mkfs.erofs and cp; BENCH="--quick" takes less data
.PHONY: bench
bench: setup-bench programs
	$(RELEASE)/bench run --json target/bench/results.json $(BENCH)

## make bench-mount   against veritysetup and mount, on a kernel with dm-verity
.PHONY: bench-mount
bench-mount: setup-demo programs
	tools/bench/mount.sh $(PROGRAMS) $(RELEASE)/bench $(BENCH)

## make build   the programs, in target/*/release
.PHONY: build programs
build: programs packager
programs: published
	cargo build --locked --release --package testvm --package bench

# Each program alone, so that what else is in the workspace changes neither what is linked into it
# nor a byte of it.
.PHONY: published
published: setup-build
	cargo build --locked --release --package disk-mounter
	cargo build --locked --release --package disk-builder

# What installs and packages them, and writes their manual pages.
.PHONY: packager
packager: setup-build
	cargo build --locked --release --package xtask --features packages

# The Debian packages for each.
.PHONY: setup-arm setup-audit setup-build setup-images setup-signing setup-packages setup-bench setup-demo setup-fuzz setup-tests
setup-arm:
	@tools/scripts/setup.sh build arm
setup-audit:
	@tools/scripts/setup.sh audit
setup-build:
	@tools/scripts/setup.sh build
setup-images:
	@tools/scripts/setup.sh build images
setup-signing:
	@tools/scripts/setup.sh build signing
setup-packages:
	@tools/scripts/setup.sh build packages
setup-bench:
	@tools/scripts/setup.sh build peers
setup-demo:
	@tools/scripts/setup.sh build peers machine
setup-fuzz:
	@tools/scripts/setup.sh build fuzz
setup-tests:
	@tools/scripts/setup.sh build packages signing peers machine fuzz audit tests

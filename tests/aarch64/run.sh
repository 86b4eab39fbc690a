#!/usr/bin/env bash
# Compiles the programs for 64-bit ARM, and tests the SHA-256 instructions and the vectors of such a
# CPU, which an emulator has.
set -euo pipefail
cd "$(dirname "$0")/../.."

export CARGO_BUILD_TARGET=aarch64-unknown-linux-musl
# For libdevmapper's header, and those that it takes in, of which a few are any compiler's own;
# nothing is linked to it here.
export PKG_CONFIG_ALLOW_CROSS=1
headers="-isystem $(cc -print-file-name=include) -isystem /usr/aarch64-linux-gnu/include"
export BINDGEN_EXTRA_CLANG_ARGS=$headers
# The crate ring has C in it; this compiler knows every CPU.
export CC_aarch64_unknown_linux_musl=clang
cargo check --locked --quiet --package disk-mounter --package disk-builder --all-targets

# Rust brings a linker, and the C library of this target.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER="qemu-aarch64 -cpu max"
export EXPECTED_BACKENDS="aarch64 portable" EXPECTED_FEC_BACKENDS="neon portable"
cargo test --locked --quiet --package dm-verity --lib

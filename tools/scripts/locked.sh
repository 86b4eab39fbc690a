#!/usr/bin/env bash
# Prints the names of the crates in Cargo.lock that come from a registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
awk '$1 == "name" { name = $3 } $1 == "source" { print name }' Cargo.lock | tr -d '"' | LC_ALL=C sort -u

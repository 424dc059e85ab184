#!/usr/bin/env bash
# Runs the tests of aet-kernels, the crate with nearly all the `unsafe` of the project, under
# AddressSanitizer and under Valgrind, and those in the modules of aet-geometry, whose warp has the
# rest, under AddressSanitizer. All have to be clean.
#
# usage: scripts/kernel_sanitizers.sh          needs valgrind; a stable toolchain will do
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-target}/sanitizers

echo "AddressSanitizer"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" PROPTEST_CASES=200 \
  cargo test --quiet --package aet-kernels --lib --tests --target "$target" --target-dir "$folder/address"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
  cargo test --quiet --package aet-geometry --lib --target "$target" --target-dir "$folder/address"

echo "Valgrind"
# Valgrind knows AVX2 but not AVX-512, and is slow: fewer random shapes.
programs=$(cargo test --no-run --package aet-kernels --lib --tests --target-dir "$folder/valgrind" 2>&1 |
  sed -n 's/.*Executable.*(\(.*\))/\1/p')
for program in $programs; do
  PROPTEST_CASES=20 valgrind --quiet --error-exitcode=9 "$program" --test-threads=1
done
echo "clean"

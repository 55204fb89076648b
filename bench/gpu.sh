#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a machine with a GPU and CUDA's toolkit: builds, runs the CUDA tests, and measures a fully connected net beside the CPU.
#
#   bash bench/gpu.sh [BUILD FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/gpu}
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || { echo "no GPU here" >&2; exit 77; }
cmake -S . -B "$build" -DCREMA_BUILD_CUDA=ON -DCREMA_BUILD_BENCH=ON -DCREMA_BUILD_EXAMPLES=OFF
cmake --build "$build" -j "$(nproc)" --target test_cuda gpu_bench
ctest --test-dir "$build" -L cuda --output-on-failure
"$build/bench/gpu_bench"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the benchmarks measure against: OpenBLAS, Google Benchmark, and PyTorch in a folder of its own.
#
#   bash bench/setup.sh [FOLDER]       FOLDER: the virtual environment to make (default: build/torch; 5 GB with CUDA's libraries, which pip brings)
#
# Works as root or with sudo on Debian 12; does nothing twice. PyTorch's CPU build is enough: set PIP_INDEX_URL to an index
# that has it to save the download of CUDA's libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-build/torch}

need=() sudo=""
for p in g++ cmake ninja-build python3-venv libopenblas-dev libbenchmark-dev; do
  dpkg -s "$p" > /dev/null 2>&1 || need+=("$p")
done
[ "$(id -u)" = 0 ] || sudo=sudo
if [ ${#need[@]} -gt 0 ]; then
  echo "installing: ${need[*]}"
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, numpy; assert torch.__version__.startswith("2.15")' 2> /dev/null ||
  "$venv/bin/pip" install --quiet torch==2.15.0 numpy
echo "bench/train/run.py BUILD --python $venv/bin/python"

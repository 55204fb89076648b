#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare machine to a trained net: installs what is missing, builds the program `crema`, trains LeNet on the
# 60,000 images of Fashion-MNIST, tests it on the other 10,000, and writes lenet.caffemodel and report.html.
#
#   bash examples/quickstart.sh           BUILD=folder and SEED=number may be set
#
# Debian 12 (tested), Ubuntu 24.04 (written for, untested); as root or with sudo. What is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}/quickstart
data=${DATA:-/usr/share/datasets/fashion-mnist}

say() { printf '\n== %s\n' "$*"; }

# install PACKAGE...: those that are missing, with apt.
install() {
  local missing=() sudo=()
  for p in "$@"; do dpkg -s "$p" > /dev/null 2>&1 || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get > /dev/null || { echo "please install: ${missing[*]} (this system has no apt-get)" >&2; exit 1; }
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}

install g++ cmake ninja-build zlib1g-dev libcli11-dev
if [ ! -e "$data/train-images-idx3-ubyte.gz" ]; then
  install dataset-fashion-mnist || true
fi
for file in {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz; do
  [ -e "$data/$file" ] && continue
  echo "$data/$file is missing: where there is no package dataset-fashion-mnist, put the four .gz files of Fashion-MNIST" >&2
  echo "(github.com/zalandoresearch/fashion-mnist, data/fashion) into a folder and name it: DATA=folder bash examples/quickstart.sh" >&2
  exit 1
done

say "building in $build"
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DCREMA_BUILD_TESTS=OFF > "$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
cmake --build "$build" --target crema_program > "$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }

say "training LeNet"
start=$SECONDS
"$build/crema" train --solver=examples/fashion_mnist/lenet_solver.prototxt --data-root="$data" ${SEED:+--seed=$SEED} \
  --save=lenet.caffemodel --report=report.html
took=$((SECONDS - start))

say "testing it on 10,000 images"
"$build/crema" test --model=examples/fashion_mnist/lenet_train_test.prototxt --data-root="$data" --weights=lenet.caffemodel --iterations=0 2>&1 |
  grep -E '(accuracy|loss) = ' | tail -n 2 | sed 's/.*] //'
printf 'trained in %s s; the weights are in lenet.caffemodel, the curves in report.html\n' "$took"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs everything; the totals come last, the exit status is theirs.
#
#   bash tests/run.sh            everything
#   bash tests/run.sh --quick    the suite once, with g++: under 10 minutes
#
# Works as root or with sudo on Debian 12; BUILD=folder puts the build elsewhere.
set -uo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}
quick=no
[ "${1:-}" = --quick ] && quick=yes

declare -a part_names=() part_minutes=()
passed=0 failed=0

# part NAME COMMAND...: runs a step and remembers how long it took; a failing step fails the run, the others still run.
part() {
  local name=$1 start=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  "$@" || { echo "FAILED: $name"; failed=$((failed + 1)); }
  part_names+=("$name") part_minutes+=("$(awk "BEGIN { printf \"%.1f\", ($SECONDS - $start) / 60 }")")
}

install_packages() {
  local need=() sudo=""
  for p in g++ cmake ninja-build pkg-config python3 catch2 libcli11-dev zlib1g-dev libjpeg-dev libpng-dev liblmdb-dev libprotobuf-dev protobuf-compiler libopencv-dnn-dev libopencv-imgcodecs-dev binutils iproute2 python3-venv \
    mpich libmpich-dev openmpi-bin libopenmpi-dev dataset-fashion-mnist clang-14 clang-format-14 libclang-rt-14-dev; do
    dpkg -s "$p" > /dev/null 2>&1 || need+=("$p")
  done
  [ ${#need[@]} -eq 0 ] && return 0
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing: ${need[*]}"
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
}

# suite FOLDER [CTEST OPTIONS] -- CMAKE OPTIONS: configures, builds and runs ctest in one folder.
suite() {
  local folder=$1 tests=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do tests+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  cmake -S . -B "$folder" -G Ninja "$@" > "$folder.log" 2>&1 || { cat "$folder.log"; return 1; }
  nice cmake --build "$folder" -j 2 ${target:+--target "$target"} > "$folder.log" 2>&1 || { grep -E 'error|warning|FAILED' -A 5 "$folder.log" | head -n 80; return 1; }
  local out status
  out=$(ctest --test-dir "$folder" --output-on-failure "${tests[@]}" < /dev/null 2>&1)
  status=$?
  printf '%s\n' "$out"
  local total bad
  read -r bad total < <(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' <<< "$out" | tail -n 1)
  passed=$((passed + ${total:-0} - ${bad:-0}))
  return $status
}

# CUDA's code has to compile and link where there is no GPU too; its tests are then skipped.
cuda() {
  local root
  root=$(bash tests/cuda/toolkit.sh "$build/cuda_toolkit" | tail -n 1) && root=$(realpath "$root") || return 1
  target=test_cuda suite "$build/cuda" -L cuda -- -DCREMA_BUILD_CUDA=ON -DCREMA_BUILD_EXAMPLES=OFF -DCMAKE_CUDA_COMPILER="$root/bin/nvcc" -DCUDAToolkit_ROOT="$root"
}

# The first thing that a new user types, to its end: at least 90 % of the 10,000 test images.
quickstart() {
  local out
  out=$(BUILD="$build" bash examples/quickstart.sh 2>&1) || { tail -n 30 <<< "$out"; return 1; }
  tail -n 3 <<< "$out"
  awk '/^accuracy = / { good = $3 >= 0.90 } END { exit !good }' <<< "$out"
}

# Training, scoring and features on real executors, with the engine of the first part.
spark() {
  local out status good
  out=$(bash tests/spark/run.sh "$build/spark" "$build/release/crema_executor" 2>&1)
  status=$?
  printf '%s\n' "$out"
  good=$(sed -n 's/^\([0-9]*\) passed, .*/\1/p' <<< "$out" | tail -n 1)
  passed=$((passed + ${good:-0}))
  return $status
}

mkdir -p "$build"
part "packages" install_packages
part "g++, all tests" suite "$build/release" -- -DCMAKE_BUILD_TYPE=Release -DCREMA_WARNINGS_AS_ERRORS=ON
if [ $quick = no ]; then
  part "quickstart" quickstart
  part "Spark" spark
  UBSAN_OPTIONS=halt_on_error=1 part "ASan and UBSan" suite "$build/asan" -LE slow -- -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" -DCREMA_SANITIZE=address,undefined
  part "TSan" suite "$build/tsan" -R "core|data|net|comm|parallel" -- -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" -DCREMA_SANITIZE=thread
  part "CUDA: compile and link" cuda
  part "clang, all tests" suite "$build/clang" -LE slow -- -DCMAKE_BUILD_TYPE=Release -DCREMA_WARNINGS_AS_ERRORS=ON -DCMAKE_CXX_COMPILER=clang++-14
fi

printf '\nminutes of each part:\n'
for i in "${!part_names[@]}"; do printf '  %5s  %s\n' "${part_minutes[$i]}" "${part_names[$i]}"; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs everything; the totals come last, the exit status is theirs.
#
#   bash tests/run.sh            everything
#   bash tests/run.sh --quick    the suite once, with g++, but for its slowest tests: about 12 minutes
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
    mpich libmpich-dev openmpi-bin libopenmpi-dev dataset-fashion-mnist clang-14 clang-format-14 libclang-rt-14-dev libbenchmark-dev libopenblas-dev; do
    dpkg -s "$p" > /dev/null 2>&1 || need+=("$p")
  done
  [ ${#need[@]} -eq 0 ] && return 0
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing: ${need[*]}"
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
}

# What each build is configured with.
declare -A options=(
  [release]="-DCMAKE_BUILD_TYPE=Release -DCREMA_WARNINGS_AS_ERRORS=ON"
  [asan]="-DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_COMPILER=clang++-14 -DCREMA_SANITIZE=address,undefined -DCREMA_WARNINGS_AS_ERRORS=ON -DCREMA_BUILD_BENCH=ON"
  [tsan]="-DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_COMPILER=clang++-14 -DCREMA_SANITIZE=thread -DCREMA_BUILD_EXAMPLES=OFF"
  [cuda]="-DCREMA_BUILD_CUDA=ON -DCREMA_BUILD_EXAMPLES=OFF"
)
declare -A targets=([cuda]="test_cuda" [tsan]="test_core test_data test_net test_comm test_parallel")

# compile_one NAME: configures and builds one of them.
compile_one() {
  local flags toolkit target
  read -ra flags <<< "${options[$1]}"
  case $1 in
    asan) flags+=("-DCMAKE_CXX_FLAGS=-O0 -g1") ;;  # instruments in a fifth of the time of g++ at -O1
    tsan) flags+=("-DCMAKE_CXX_FLAGS=-O1 -g1") ;;
    cuda)  # it has to compile and link where there is no GPU too
      toolkit=$(bash tests/cuda/toolkit.sh "$build/cuda_toolkit" | tail -n 1) && toolkit=$(realpath "$toolkit") || return 1
      flags+=("-DCMAKE_CUDA_COMPILER=$toolkit/bin/nvcc" "-DCUDAToolkit_ROOT=$toolkit") ;;
  esac
  read -ra target <<< "${targets[$1]:-all}"
  cmake -S . -B "$build/$1" -G Ninja "${flags[@]}" && cmake --build "$build/$1" -j 2 --target "${target[@]}"
}

# compile NAME...: one after the other; what a build said is in $build/NAME.log, its exit status and seconds in NAME.built.
compile() {
  local name start
  for name; do
    start=$SECONDS
    compile_one "$name" > "$build/$name.log" 2>&1
    echo "$? $((SECONDS - start))" > "$build/$name.built"
  done
}

# suite NAME [CTEST OPTIONS]: waits for the build, then runs its tests.
suite() {
  local name=$1 built out status total bad
  shift
  until [ -e "$build/$name.built" ]; do sleep 1; done
  read -r built _ < "$build/$name.built"
  [ "$built" = 0 ] || { grep -E 'error|warning|FAILED' -i -A 5 "$build/$name.log" | head -n 80; return 1; }
  out=$(ctest --test-dir "$build/$name" --output-on-failure "$@" < /dev/null 2>&1)
  status=$?
  printf '%s\n' "$out"
  read -r bad total < <(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' <<< "$out" | tail -n 1)
  passed=$((passed + ${total:-0} - ${bad:-0}))
  return $status
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
if [ "${1:-}" = --compile ]; then  # for the run that has started this one
  compile "${@:2}"
  exit
fi
others=(asan tsan cuda)
rm -f "$build"/*.built
part "packages" install_packages
part "g++, build" compile release
if [ $quick = yes ]; then
  part "g++, tests" suite release -LE slow
else  # tests often wait: the other builds go on meanwhile, at the lowest priority
  setsid nice -n 19 bash tests/run.sh --compile "${others[@]}" &
  trap 'kill -- -'$!' 2> /dev/null' EXIT
  part "g++, all tests" suite release
  part "quickstart" quickstart
  part "Spark" spark
  UBSAN_OPTIONS=halt_on_error=1 part "clang, all tests under ASan and UBSan" suite asan -LE slow
  part "clang, TSan" suite tsan -R '^(core|data|net|comm|parallel)$'
  part "CUDA: compile and link" suite cuda -L cuda
fi

printf '\nminutes of each part:\n'
for i in "${!part_names[@]}"; do printf '  %5s  %s\n' "${part_minutes[$i]}" "${part_names[$i]}"; done
for name in "${others[@]}"; do
  [ ! -e "$build/$name.built" ] || awk -v name="$name" '{ printf "  %5.1f  build of %s, in the background\n", $2 / 60, name }' "$build/$name.built"
done
printf '  %5.1f  in all\n' "$(awk "BEGIN { print $SECONDS / 60 }")"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

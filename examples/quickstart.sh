#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare machine to a trained net: installs what is missing, builds the program `crema`, trains LeNet on the
# 60,000 images of Fashion-MNIST, tests it on the other 10,000, and writes lenet.caffemodel and report.html.
#
#   bash examples/quickstart.sh           BUILD=folder and SEED=number may be set
#   bash examples/quickstart.sh --spark   the same by two executors of a Spark cluster on this machine: a master and two
#                                         workers are started, and stopped at the end; needs 1.5 GB more on disk
#
# Debian 12 (tested), Ubuntu 24.04 (written for, untested); as root or with sudo. What is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  "" | --spark) ;;
  *) echo "usage: quickstart.sh [--spark]" >&2; exit 2 ;;
esac
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

# build TARGET
build() {
  say "building $1 in $build"
  mkdir -p "$build"
  cmake -S . -B "$build" -G Ninja -DCREMA_BUILD_TESTS=OFF > "$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
  cmake --build "$build" --target "$1" > "$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
}

# A cluster as anyone's is, small; and spark-submit as anyone types it.
spark() {
  say "Spark"
  bash tests/spark/setup.sh "${BUILD:-build}/spark" spark
  build crema_executor
  local home jar master to=$PWD
  home=$(realpath "${BUILD:-build}/spark/spark")
  data=$(realpath "$data")
  # With the engine inside, the jar is all that the cluster needs.
  jar=$(realpath "$build")/crema-spark.jar
  SPARK_HOME=$home bash examples/spark_executor/java/build.sh "$jar" "$build/crema_executor"

  say "starting a master and two workers"
  work=$(mktemp -d)
  touch "$work/master.log"
  servers=()
  trap 'kill "${servers[@]}" 2> /dev/null; wait; rm -rf "$work"' EXIT
  trap 'exit 1' INT TERM
  export SPARK_HOME=$home SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_DIRS=$work/local
  # server NAME CLASS...: they end with this script, even if it is killed.
  server() {
    setpriv --pdeathsig TERM "$home/bin/spark-class" "${@:2}" --host 127.0.0.1 --webui-port 0 > "$work/$1.log" 2>&1 < /dev/null &
    servers+=($!)
  }
  # seen TEXT TIMES: waits until the master has said it.
  seen() {
    local end=$((SECONDS + 120))
    until [ "$(grep -c "$1" "$work/master.log")" -ge "$2" ]; do
      [ $SECONDS -lt $end ] && kill -0 "${servers[@]}" 2> /dev/null || { tail -n 20 "$work"/*.log >&2; exit 1; }
      sleep 0.2
    done
  }
  server master org.apache.spark.deploy.master.Master --port 0
  seen "Starting Spark master at" 1
  master=$(sed -n 's/.*Starting Spark master at \(spark:.*\)/\1/p' "$work/master.log")
  for i in 1 2; do
    server worker$i org.apache.spark.deploy.worker.Worker --cores 1 --memory 1g --work-dir "$work/$i" "$master"
  done
  seen "Registering worker" 2
  echo "$master"

  # Each executor takes half of every batch of 64, so the two learn what one process does.
  sed 's/batch_size: 64/batch_size: 32/' examples/fashion_mnist/lenet_train_test.prototxt > "$work/lenet_train_test.prototxt"
  cp examples/fashion_mnist/lenet_solver.prototxt "$work/"
  say "training LeNet on two executors, testing it on 10,000 images"
  local start=$SECONDS submit
  cd "$work"
  setpriv --pdeathsig TERM "$home/bin/spark-submit" --master "$master" --conf spark.cores.max=2 --conf spark.ui.enabled=false --executor-memory 512m \
    --class crema.spark.CremaOnSpark "$jar" -train -test -conf lenet_solver.prototxt -clusterSize 2 -devices 1 -data_root "$data" ${SEED:+-seed "$SEED"} \
    -model "file://$work/model/lenet.caffemodel" -output "file://$work/scores" -progress 10 2> >(tee stderr | grep --line-buffered '^crema: ' >&2) < /dev/null &
  submit=$!
  servers+=("$submit")
  wait "$submit" || { tail -n 40 stderr >&2; exit 1; }
  mv model/lenet.caffemodel "$to/"
  printf 'done in %s s; the weights are in lenet.caffemodel\n' $((SECONDS - start))
}

if [ "${1:-}" = --spark ]; then
  spark
  exit 0
fi

build crema_program
say "training LeNet"
start=$SECONDS
"$build/crema" train --solver=examples/fashion_mnist/lenet_solver.prototxt --data-root="$data" ${SEED:+--seed=$SEED} \
  --save=lenet.caffemodel --report=report.html
took=$((SECONDS - start))

say "testing it on 10,000 images"
"$build/crema" test --model=examples/fashion_mnist/lenet_train_test.prototxt --data-root="$data" --weights=lenet.caffemodel --iterations=0 2>&1 |
  grep -E '(accuracy|loss) = ' | tail -n 2 | sed 's/.*] //'
printf 'trained in %s s; the weights are in lenet.caffemodel, the curves in report.html\n' "$took"

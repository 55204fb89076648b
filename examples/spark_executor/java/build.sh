#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the adapter against the jars of an installed Spark; needs a JDK of version 17 or later and nothing else.
#
#   bash build.sh crema-spark.jar [ENGINE]       SPARK_HOME, or a python3 (PYTHON) that has pyspark, says where Spark is
#
# With ENGINE, a crema_executor, the jar carries the engine inside: one file to submit.
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh crema-spark.jar [ENGINE]}")
engine=${2:+$(realpath "$2")}
spark=${SPARK_HOME:-$("${PYTHON:-python3}" -c 'import pyspark, os; print(os.path.dirname(pyspark.__file__))')}
cd "$(dirname "$0")"
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac --release 17 -Xlint:all,-serial,-processing,-classfile,-path,-try -Werror -cp "$spark/jars/*" -d "$classes" src/crema/spark/*.java
[ -z "$engine" ] || cp "$engine" "$classes/crema/spark/crema_executor"
mkdir -p "$(dirname "$out")"
jar --create --file "$out" --main-class crema.spark.CremaOnSpark -C "$classes" .

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests on real Spark: installs Spark and the clusters into a folder, builds the jar with the engine inside, runs them.
#
#   bash tests/spark/run.sh FOLDER ENGINE [all]       ENGINE: crema_executor, with crema_executor_mpi and crema beside it; prints "N passed, M failed" last
#
# Of the faults, every run has those in a step, in local-cluster; `all` has every moment, on standalone and YARN too.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?the folder to install into} engine=$(realpath "${2:?crema_executor}") set=${3:-short}
bash "$here/setup.sh" "$folder" || exit 1
folder=$(realpath "$folder")
export SPARK_HOME=$folder/spark CREMA_SPARK=$folder
jar=$folder/crema-spark.jar
bash "$here/../../examples/spark_executor/java/build.sh" "$jar" "$engine" || exit 1
bash "$here/../../examples/spark_executor/pack_mpi.sh" "${engine}_mpi" "$folder/crema_mpi.tgz" > /dev/null || exit 1

passed=0 failed=0
# check COMMAND...: one test program; its output is shown when it fails.
check() {
  local out start=$SECONDS
  if out=$("$folder/venv/bin/python" "$@" 2>&1 < /dev/null); then
    passed=$((passed + 1))
    printf 'passed: %s (%s s)\n' "$(basename "$1") ${*:4}" $((SECONDS - start))
  else
    failed=$((failed + 1))
    printf '%s\nFAILED: %s (%s s)\n' "$(tail -n 150 <<< "$out")" "$*" $((SECONDS - start))
  fi
}
check "$here/adapter_test.py" "$engine" "$jar"
check "$here/adapter_test.py" "$engine" "$jar" "--master=local[2]" Training.test_curve_scores_features Pipelines.test_pipeline Before.test_plan_and_doctor
check "$here/executors_test.py" "$engine" "$jar"
if [ "$set" = all ]; then check "$here/faults_test.py" "$engine" "$jar"; else check "$here/faults_test.py" "$engine" "$jar" local short; fi
check "$here/deploy_test.py" "$jar" "$folder/crema_mpi.tgz"
check "$here/tagging_test.py" "$jar"
check "$here/pip_test.py"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]

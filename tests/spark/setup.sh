#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the tests on real clusters need, into a folder: Spark (the package pyspark, in a virtual environment) and, unless
# only Spark is asked for, pictures, and HDFS and YARN with a program that runs both in one process (mini/, built by Maven).
# Java 17, Python's venv and Maven come from the system, by apt where they are missing. Does nothing twice.
#
#   bash tests/spark/setup.sh FOLDER [spark]      as root or with sudo; about 1 GB on disk, half of it for Spark
#
# Afterwards: FOLDER/venv/bin/python runs PySpark, FOLDER/spark is SPARK_HOME, FOLDER/hadoop/{mini.jar,lib} are the clusters.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?the folder to install into}
what=${2:-all}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
log=$folder/log

# numpy is what pyspark.ml imports.
packages="pyspark==4.3.0 numpy==2.2.6"
# Photographs, of which only the files are wanted, and JPEG for Python.
pictures="pillow==13.0.0 scikit-image==0.26.0 scikit-learn==1.9.1"

fail() { echo "setup.sh: $1; see $log" >&2; exit 1; }

# install PACKAGE...: with apt, those that are missing.
install() {
  local missing=() sudo=()
  for p in "$@"; do dpkg -s "$p" > /dev/null 2>&1 || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get > /dev/null || fail "please install ${missing[*]} (this system has no apt-get)"
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  echo "installing ${missing[*]}"
  { "${sudo[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    > "$log" 2>&1 || fail "cannot install ${missing[*]} (is there a network?)"
}

# Any JDK from 17 on will do.
java_release() { javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p'; }
[ "$(java_release)" -ge 17 ] 2> /dev/null || install openjdk-17-jdk-headless
python3 -c 'import ensurepip, venv' 2> /dev/null || install python3 python3-venv

# A stamp holds what was installed; it is written last, so that an interrupted run is done again.
if [ "$(cat "$folder/venv.stamp" 2> /dev/null)" != "$packages" ]; then
  echo "downloading $packages into $folder/venv (about 450 MB)"
  rm -rf "$folder/venv" "$folder/spark"
  python3 -m venv "$folder/venv" > "$log" 2>&1 || fail "cannot make a virtual environment"
  # shellcheck disable=SC2086  # two packages
  "$folder/venv/bin/pip" install -q --no-cache-dir $packages > "$log" 2>&1 || fail "cannot download $packages (is there a network?)"
  ln -s "$(dirname "$("$folder/venv/bin/python" -c 'import pyspark; print(pyspark.__file__)')")" "$folder/spark"
  echo "$packages" > "$folder/venv.stamp"
fi
[ "$what" = spark ] && exit 0

if [ "$(cat "$folder/pictures.stamp" 2> /dev/null)" != "$(cat "$folder/venv.stamp") $pictures" ]; then
  echo "downloading $pictures into $folder/venv (about 30 MB)"
  # shellcheck disable=SC2086  # three packages
  "$folder/venv/bin/pip" install -q --no-cache-dir --no-deps $pictures > "$log" 2>&1 || fail "cannot download $pictures (is there a network?)"
  echo "$packages $pictures" > "$folder/pictures.stamp"
fi

stamp=$(cat "$here"/mini/pom.xml "$here"/mini/src/main/java/*.java | sha256sum)
if [ "$(cat "$folder/hadoop.stamp" 2> /dev/null)" != "$stamp" ]; then
  command -v mvn > /dev/null || install maven
  echo "downloading HDFS and YARN with Maven into $folder/hadoop (about 150 MB)"
  rm -rf "$folder/hadoop"
  # Maven writes beside the pom, so it works on a copy.
  cp -r "$here/mini" "$folder/hadoop"
  (cd "$folder/hadoop" && mvn -q -B package dependency:copy-dependencies) > "$log" 2>&1 || fail "cannot build the clusters (is there a network?)"
  mv "$folder"/hadoop/target/mini-*.jar "$folder/hadoop/mini.jar"
  mv "$folder/hadoop/target/dependency" "$folder/hadoop/lib"
  echo "$stamp" > "$folder/hadoop.stamp"
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs crema_executor_mpi with MPICH and all that MPICH needs but the C library, for executors that have none of it.
#
#   bash pack_mpi.sh build/crema_executor_mpi crema_mpi.tgz
#   spark-submit --archives crema_mpi.tgz#crema ... -engine crema/crema_executor_mpi -connection mpi
#
# UCX's modules (InfiniBand is one) go along where they are installed.
set -euo pipefail
engine=$1 archive=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# libraries FILE...: what they need, without the C library's own.
libraries() {
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv)\.so'
}

cp "$engine" "$folder"
modules=$(dirname "$(libraries "$engine" | grep /libucs)")/ucx
if [ -d "$modules" ]; then
  mkdir "$folder/ucx"
  cp -L "$modules"/*.so.0 "$folder/ucx"
fi
# shellcheck disable=SC2046 # one word for each library
cp -L $(libraries "$engine" "$folder"/ucx/*.so.0) "$folder"
tar -C "$folder" -czf "$archive" .
tar -tzf "$archive"

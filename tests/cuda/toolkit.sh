#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CUDA's compiler and libraries, for building where no toolkit is installed: into a folder, from NVIDIA's Python packages
# (about 1 GB). Does nothing if they are there. The last line of output is the toolkit's root.
#
#   root=$(bash tests/cuda/toolkit.sh FOLDER | tail -n 1)
#   cmake -DCREMA_BUILD_CUDA=ON -DCMAKE_CUDA_COMPILER=$root/bin/nvcc -DCUDAToolkit_ROOT=$root ...
set -euo pipefail
folder=${1:?the folder to install into}
if [ ! -x "$folder/bin/pip" ]; then
  python3 -m venv "$folder"
fi
if ! ls "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc > /dev/null 2>&1; then
  echo "downloading nvcc, cudart and cuBLAS 13.0 into $folder"
  "$folder/bin/pip" install -q "cuda-toolkit[nvcc,cudart,crt,cccl,cublas,nvvm]==13.0.*"
fi
root=$(dirname "$(dirname "$(ls "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc | head -n 1)")")
# The packages hold versioned libraries only, in lib; CMake looks for plain names, in lib64.
for library in "$root"/lib/*.so.*; do
  plain=${library%%.so.*}.so
  [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
done
[ -e "$root/lib64" ] || ln -s lib "$root/lib64"
echo "$root"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs tests/consumer/app.cpp as programs outside this project do: installed and found by CMake, as a
# subdirectory, fetched, by pkg-config, and with nothing but a compiler.
set -euo pipefail
source=$1 work=$2 cxx=$3
here=$source/tests/consumer
rm -rf "$work" && mkdir -p "$work"
export CXX=$cxx
cmake -S "$source" -B "$work/crema" -G Ninja -DCREMA_BUILD_TESTS=OFF -DCREMA_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/installed" > "$work/log" 2>&1
cmake --install "$work/crema" >> "$work/log" 2>&1
for way in cmake subdirectory fetch; do
  cmake -S "$here/$way" -B "$work/$way" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/installed" -DCREMA_SOURCE="$source" >> "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
  cmake --build "$work/$way" >> "$work/log" 2>&1 || { tail -n 50 "$work/log"; exit 1; }
  echo "$way: $("$work/$way/app")"
done
echo "compiled: $("$work/cmake/app_compiled")"
echo "data: $("$work/cmake/app_data" "$work/lmdb")"
if [ -x "$work/cmake/app_mpi" ]; then echo "mpi: $(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "$work/cmake/app_mpi")"; fi
flags=$(PKG_CONFIG_PATH=$work/installed/share/pkgconfig pkg-config --cflags --libs crema)
# shellcheck disable=SC2086
"$cxx" -O2 "$here/app.cpp" $flags -o "$work/app_pkg_config"
echo "pkg-config: $("$work/app_pkg_config")"
"$cxx" -std=c++20 -O2 -I "$source/include" "$here/app.cpp" -pthread -o "$work/app_plain"
echo "plain: $("$work/app_plain")"

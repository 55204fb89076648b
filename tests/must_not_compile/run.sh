#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every file here must fail to compile, with the word after "expect:" in the message.
set -uo pipefail
source=$1 cxx=$2 failed=0
for file in "$source"/tests/must_not_compile/*.cpp; do
  expect=$(sed -n 's|^// expect: ||p' "$file")
  if message=$("$cxx" -std=c++20 -fsyntax-only -I "$source/include" "$file" 2>&1); then
    echo "$(basename "$file"): compiles, and must not"; failed=1
  elif ! grep -q "$expect" <<< "$message"; then
    echo "$(basename "$file"): fails for another reason:"; head -5 <<< "$message"; failed=1
  else
    echo "$(basename "$file"): refused"
  fi
done
exit $failed

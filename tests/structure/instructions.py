#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No AVX instruction outside the namespaces avx2 and avx512: such code would run on processors that lack it."""
import re, subprocess, sys

text = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", sys.argv[1]], capture_output=True, text=True, check=True).stdout
bad, functions, name = {}, 0, ""
for line in text.splitlines():
    if m := re.match(r"[0-9a-f]+ <(.*)>:$", line):
        name, functions = m[1], functions + 1
    elif re.search(r"%[yz]mm|\tv[a-z]", line) and not re.search(r"::avx(2|512)::|\bverr|\bverw", name):
        if re.search(r"\t(v[a-z0-9]+)\s", line):
            bad.setdefault(name, line.strip())
for name, line in list(bad.items())[:10]:
    print(f"{name[:200]}: {line}")
print(f"{functions} functions, {len(bad)} with foreign instructions")
sys.exit(bool(bad) or functions == 0)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone."""
import shlex, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root, compiler = Path(sys.argv[1]), sys.argv[2]
include = root / "include"
headers = [p for p in sorted((include / "crema").rglob("*.hpp")) if p.relative_to(include).parts[1] != "cuda"]


def mpi_flags():
    """Where mpi.h is; none where there is no MPI."""
    for package in ("mpich", "ompi-c"):
        run = subprocess.run(["pkg-config", "--cflags", package], text=True, capture_output=True)
        if run.returncode == 0:
            return shlex.split(run.stdout.replace("-I", "-isystem "))
    return None


MPI = mpi_flags()
if MPI is None:
    print("left out, there is no MPI: the headers of comm/mpi*")
    headers = [h for h in headers if not h.name.startswith("mpi")]


def check(header):
    name = header.relative_to(include)
    flags = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-Wno-pragma-once-outside-header"]
    if "clang" not in compiler:
        flags.pop()
    if header.name.startswith("mpi"):
        flags += MPI
    run = subprocess.run([compiler, *flags, f"-I{include}", "-x", "c++", "-"], input=f"#include <{name}>\n", text=True, capture_output=True)
    return f"{name}:\n{run.stderr[:2000]}" if run.returncode else None


with ThreadPoolExecutor(2) as pool:
    bad = [r for r in pool.map(check, headers) if r]
print("\n".join(bad) or f"{len(headers)} headers compile alone")
sys.exit(bool(bad))

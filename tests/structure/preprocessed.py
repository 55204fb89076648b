#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compile time's gate: what the light folders reach, standard headers included, and how many lines the compiler reads.

    preprocessed.py ROOT COMPILER

No header of core, spec, cpu, net, layers and solvers may reach a heavy standard header by any way. Lines are those left by the
preprocessor, in units of what <algorithm>, <memory>, <string> and <vector> cost together, so that the caps outlive a
new standard library. bench/compile measures the seconds.
"""
import subprocess, sys
from pathlib import Path

root, compiler = Path(sys.argv[1]), sys.argv[2]
include = root / "include"
HEAVY = {"iostream", "fstream", "sstream", "regex", "random", "chrono", "filesystem", "thread", "future", "functional", "ranges", "immintrin.h"}
LIGHT = ["core", "spec", "cpu", "net", "layers", "solvers"]
COMPILED = "-DCREMA_COMPILED"
bad = []


def preprocess(headers, *flags):
    """Lines, and the heavy headers reached, each with the way to it."""
    source = "".join(f"#include <{h}>\n" for h in headers)
    run = subprocess.run([compiler, "-std=c++20", *flags, f"-I{include}", "-E", "-P", "-H", "-x", "c++", "-"], input=source, text=True, capture_output=True)
    if run.returncode:
        sys.exit(f"{' '.join(headers)}: {run.stderr[-2000:]}")
    heavy, way = {}, []
    for line in run.stderr.splitlines():
        dots, _, path = line.partition(" ")
        if not dots or dots.strip("."):
            continue
        way[len(dots) - 1:] = [Path(path).name]
        if way[-1] in HEAVY:
            heavy.setdefault(way[-1], " > ".join(way))
    return sum(1 for line in run.stdout.splitlines() if line.strip()), heavy


def folder(name):
    return [str(p.relative_to(include)) for p in sorted((include / "crema" / name).glob("*.hpp"))]


unit, _ = preprocess(["algorithm", "memory", "string", "vector"])
print(f"{'headers':34} lines  of {unit}  cap")


def cap(what, lines, most):
    print(f"{what:34} {lines:6}  {lines / unit:7.2f}  {most:.2f}")
    if lines > most * unit:
        bad.append(f"{what}: {lines} lines are {lines / unit:.2f} of {unit}, more than {most}")


MOST = {"core": 1.00, "spec": 0.95, "cpu": 1.40, "net": 1.35, "layers": 1.20, "solvers": 1.15}
for name in LIGHT:
    lines, heavy = preprocess([h for h in folder(name) if h != "crema/cpu/kernels.hpp"], COMPILED)
    cap(f"all of {name}", lines, MOST[name])
    bad += [f"{name} reaches <{h}>: {way}" for h, way in heavy.items()]

net, _ = preprocess(["crema/net/net.hpp"])
most_extra = max((preprocess(["crema/net/net.hpp", h])[0] - net, h) for h in folder("layers") if not h.endswith("all.hpp"))
cap(f"{Path(most_extra[1]).name} on top of net.hpp", most_extra[0], 0.01)
cap("a program: cpu, net, layers, solver", preprocess(["crema/cpu/cpu.hpp", "crema/layers/all.hpp", "crema/net/net.hpp", "crema/solvers/all.hpp"])[0], 1.70)
cap("the same with crema::compiled", preprocess(["crema/cpu/cpu.hpp", "crema/layers/all.hpp", "crema/net/net.hpp", "crema/solvers/all.hpp"], COMPILED)[0], 1.65)
cap("crema.hpp", preprocess(["crema/crema.hpp"])[0], 2.20)

print("\n".join(bad))
sys.exit(bool(bad))

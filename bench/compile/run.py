#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What crema costs to compile: user seconds of `-std=c++20 -O2 -c` beside the budget and a fixed reference file.

    run.py [--compiler g++] [--rounds 3]

The least of the rounds; rounds go through all files in turn. Extra: over the header named. The budgets are docs/design.md's, in
seconds of g++ 12; `of the reference` compares machines.
"""
import argparse, os, resource, subprocess, tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
root = here.parent.parent
NET = "#include <crema/net/net.hpp>\n"
REGISTRY = """#include <crema/cpu/cpu.hpp>
#include <crema/layers/all.hpp>
template crema::Registry<float, crema::Cpu> crema::all_layers<float, crema::Cpu>();
"""


def files():
    """Name, source, whether it is compiled against crema::compiled, budget, and what it is over."""
    hello = (root / "examples" / "hello" / "main.cpp").read_text()
    yield "reference", (here / "reference.cpp").read_text(), False, None, None
    yield "hello, header-only", hello, False, 8, None
    yield "hello, crema::compiled", hello, True, 2, None
    yield "net.hpp: core, spec and net", NET, False, 0.6, None
    for path in sorted((root / "include" / "crema" / "layers").glob("*.hpp")):
        if path.stem != "all":
            yield f"layers/{path.name}", NET + f"#include <crema/layers/{path.name}>\n", False, 0.15, "net.hpp: core, spec and net"
    yield "all_layers for float, header-only", REGISTRY, False, 8, None
    yield "crema::compiled itself", (root / "cmake" / "crema_compiled.cpp").read_text(), True, None, None


def seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    entries = list(files())
    least = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(a.rounds):
            for i, (name, source, compiled, _, _) in enumerate(entries):
                path = Path(folder) / f"{i}.cpp"
                path.write_text(source)
                flags = ["-DCREMA_COMPILED"] if compiled else []
                t = seconds([a.compiler, "-std=c++20", "-O2", *flags, f"-I{root / 'include'}", "-c", str(path), "-o", os.devnull])
                least[name] = min(t, least.get(name, t))
    print("| file | seconds | of the reference | budget |\n| --- | --- | --- | --- |")
    over = []
    for name, _, _, budget, base in entries:
        t = least[name] - (least[base] if base else 0)
        if budget is not None and t > budget:
            over.append(name)
        verdict = "" if budget is None else f"{budget}{', exceeded' if t > budget else ''}"
        print(f"| {name}{', extra' if base else ''} | {t:.2f} | {t / least['reference']:.2f} | {verdict} |")
    print(f"\n{len(over)} over budget{': ' if over else ''}{', '.join(over)}")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What crema costs to compile: user seconds of `-std=c++20 -O2 -c` beside the budget and a fixed reference file.

    run.py [--compiler g++] [--rounds 3]

The least of the rounds; rounds go through all files in turn. Extra: over the headers named in the row above of that kind: a layer
over net.hpp, net.hpp over the standard headers that it and its own name (<memory> alone is 0.4). The budgets are seconds of g++ 12; `of the reference` compares machines.
hello has a goal of 8 s and may take 12.
"""
import argparse, os, re, resource, subprocess, tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
root = here.parent.parent
NET = "#include <crema/net/net.hpp>\n"
REGISTRY = """#include <crema/cpu/cpu.hpp>
#include <crema/layers/all.hpp>
template crema::Registry<float, crema::Cpu> crema::all_layers<float, crema::Cpu>();
"""


def standard_headers(source):
    """What the source and all of crema's headers behind it include of the standard library."""
    seen = subprocess.run(["g++", "-std=c++20", f"-I{root / 'include'}", "-MM", "-x", "c++", "-"], input=source, capture_output=True, text=True, check=True)
    own = [Path(w) for w in seen.stdout.split() if w.endswith((".hpp", ".inl"))]
    names = {h for p in own for h in re.findall(r"^#include <(\w+)>", p.read_text(), re.M)}
    return "".join(f"#include <{h}>\n" for h in sorted(names))


def files():
    """Name, source, whether it is compiled against crema::compiled, budget (the goal, the most), and what it is over."""
    hello = (root / "examples" / "hello" / "main.cpp").read_text()
    yield "reference", (here / "reference.cpp").read_text(), False, None, None
    yield "hello, header-only", hello, False, (8, 12), None
    yield "hello, crema::compiled", hello, True, (2, 2), None
    yield "standard headers of net.hpp", standard_headers(NET), False, None, None
    yield "net.hpp: core, spec and net", NET, False, (0.6, 0.6), "standard headers of net.hpp"
    for path in sorted((root / "include" / "crema" / "layers").glob("*.hpp")):
        if path.stem != "all":
            yield f"layers/{path.name}", NET + f"#include <crema/layers/{path.name}>\n", False, (0.15, 0.15), "net.hpp: core, spec and net"
    yield "all_layers for float, header-only", REGISTRY, False, (8, 8), None
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
        verdict = ""
        if budget:
            goal, most = budget
            verdict = f"{goal}" if goal == most else f"{goal}, at most {most}"
            if t > most:
                verdict += ", exceeded"
                over.append(name)
        print(f"| {name}{', extra' if base else ''} | {t:.2f} | {t / least['reference']:.2f} | {verdict} |")
    print(f"\n{len(over)} over budget{': ' if over else ''}{', '.join(over)}")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house's rules that a reader of the sources can check: folders, includes, lengths, licence lines, the list of layers."""
import re, shutil, subprocess, sys
from pathlib import Path

root = Path(sys.argv[1])
include = root / "include" / "crema"
bad = []

ARROWS = {  # a folder may include these (arrows are transitive, written out)
    "core": {"core"},
    "spec": {"core", "spec"},
    "cpu": {"core", "cpu"},
    "cuda": {"core", "cuda"},
    "net": {"core", "spec", "net"},
    "layers": {"core", "spec", "net", "layers", "cpu", "cuda"},
    "solvers": {"core", "spec", "net", "solvers", "cpu", "cuda"},
    "data": {"core", "spec", "data"},
    "comm": {"core", "comm"},
    "train": {"core", "spec", "net", "solvers", "data", "comm", "train"},
    "parallel": {"core", "spec", "net", "solvers", "data", "comm", "train", "parallel"},
    "caffe": {"core", "spec", "cpu", "cuda", "net", "layers", "solvers", "data", "comm", "train", "parallel", "caffe"},
}
HEAVY = {"iostream", "fstream", "sstream", "regex", "random", "chrono", "filesystem", "thread", "future", "functional", "ranges", "immintrin.h"}
LIGHT = {"core", "spec", "cpu", "net", "layers", "solvers"}

for path in sorted(include.rglob("*")):
    if path.suffix not in {".hpp", ".inl", ".cuh", ".def"}:
        continue
    text, name = path.read_text(), path.relative_to(root)
    folder = path.relative_to(include).parts[0]
    for target in re.findall(r'#include "crema/(\w+)/', text):
        if folder in ARROWS and target not in ARROWS[folder]:
            bad.append(f"{name}: {folder} may not include {target}")
    for header in re.findall(r"#include <([^>]+)>", text):
        if header in {"iostream", "sstream", "regex"} or (folder in LIGHT and header in HEAVY):
            bad.append(f"{name}: <{header}> is too heavy here")
    if path.suffix == ".hpp" and "#pragma once" not in text:
        bad.append(f"{name}: no #pragma once")
    if re.search(r"\b(printf|fprintf|abort|exit|getenv|signal)\(|std::(cout|cerr|exit|abort)|using namespace std", text):
        bad.append(f"{name}: prints, exits or reads the environment, which a guest must not")
    limit = 250 if folder == "layers" else 400
    if text.count("\n") > limit:
        bad.append(f"{name}: {text.count(chr(10))} lines, more than {limit}")

sources = [p for d in ("include", "tests", "examples", "bench", "cmake") for p in sorted((root / d).rglob("*"))
           if p.suffix in {".hpp", ".cpp", ".inl", ".cuh", ".cu", ".py", ".sh", ".cmake", ".def"}]
for path in sources:
    lines = path.read_text().splitlines()
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2]):
        bad.append(f"{path.relative_to(root)}: no SPDX line")
    if len(lines) > 410 and path.suffix != ".py":
        bad.append(f"{path.relative_to(root)}: {len(lines)} lines")

listed = {h for _, h in re.findall(r"CREMA_LAYER\((\w+), (\w+), ", (include / "layers" / "layers.def").read_text())}
files = {p.stem for p in (include / "layers").glob("*.hpp")} - {"all"}
included = set(re.findall(r'#include "crema/layers/(\w+).hpp"', (include / "layers" / "all.hpp").read_text()))
if not listed == files == included:
    bad.append(f"layers.def, layers/*.hpp and layers/all.hpp disagree: {sorted(listed ^ files | listed ^ included)}")
for layer in sorted(listed):
    if not (root / "tests" / "layers" / f"{layer}_test.cpp").exists():
        bad.append(f"layers/{layer}.hpp has no tests/layers/{layer}_test.cpp")

clang_format = next((c for c in ("clang-format-14",) if shutil.which(c)), None)
if clang_format:
    for path in sources:
        if path.suffix in {".hpp", ".cpp"} and subprocess.run([clang_format, "--dry-run", "-Werror", str(path)], capture_output=True).returncode:
            bad.append(f"{path.relative_to(root)}: not formatted: {clang_format} -i")

print("\n".join(bad) or f"{len(sources)} files keep the rules")
sys.exit(bool(bad))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a model of distributed training steps against real ones, and projects it; prints docs/scale.md's tables.

    run.py BUILD [--keep FILE] [--lock FILE] [--prefix COMMAND] [--only check,projection,simulation]

Measuring takes about 15 minutes on a quiet machine of two cores; the cable between network namespaces needs root. FILE of
--keep (default: BUILD/scale.json) holds what was measured: what is in it is not measured again. --lock: a file whose
exclusive lock is held while something is measured; --prefix: what comes before measuring commands ("nice -n -15"). The simulation needs SimGrid (Debian: libsimgrid-dev).
"""
import argparse, json
from pathlib import Path
import check, measure, projection, simulation


class Keep(dict):
    def __init__(self, path):
        self.path = Path(path)
        super().__init__(json.loads(self.path.read_text()) if self.path.exists() else {})

    def get_or(self, key, run):
        if key not in self:
            self[key] = run()
            self.path.write_text(json.dumps(self, indent=1))
        return self[key]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--keep")
    parser.add_argument("--lock")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--only", default="check,projection,simulation")
    a = parser.parse_args()
    keep = Keep(a.keep or Path(a.build) / "scale.json")
    bench = measure.Bench(a.build, a.lock, a.prefix)
    parts = a.only.split(",")
    if "check" in parts:
        check.measure(bench, keep)
        check.report(keep)
    if "projection" in parts:
        projection.measure(bench, keep)
        projection.report(keep)
    if "simulation" in parts:
        simulation.report(keep, Path(a.build))


main()

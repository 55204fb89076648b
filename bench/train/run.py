#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training steps beside PyTorch's best mode, in turns; prints a table.

    run.py BUILD [--python PYTHON] [--nets lenet,cifar10_quick,caffenet] [--threads 1,2] [--pairs 10]

PYTHON has torch (default: the one that runs this). First 8 losses from the same weights and data side by side, dropout off;
then PAIRS times the fastest of N steps here and there in turn. Ratio: peer's milliseconds / crema's, median (least to most).
Share: of the machine's own multiply-add ceiling, measured in the same run, times the threads.
"""
import argparse, statistics, subprocess, sys, tempfile, time
from pathlib import Path

here = Path(__file__).parent
STEPS = {"lenet": 30, "cifar10_quick": 30, "caffenet": 5}
MODES = ["eager", "channels_last", "compile"]


class Process:
    def __init__(self, *command):
        self.p = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.greeting = self.p.stdout.readline().split()
        if not self.greeting:
            sys.exit(f"did not start: {' '.join(map(str, command))}")

    def ask(self, what, n):
        time.sleep(0.3)  # the other side's idle threads spin for a while
        self.p.stdin.write(f"{what} {n}\n")
        self.p.stdin.flush()
        return [float(x) for x in self.p.stdout.readline().split()]

    def end(self):
        self.p.stdin.close()
        self.p.wait()


def losses(a, net, folder):
    """The largest relative difference of 8 losses."""
    own = Process(a.own, here / f"{net}.prototxt", 1, "--dump", folder, "--no-dropout")
    peer = Process(a.python, here / "peer.py", net, 1, "eager", folder, "--no-dropout")
    mine, theirs = own.ask("losses", 8), peer.ask("losses", 8)
    own.end(), peer.end()
    print(f"{net}: losses\n  crema   {' '.join(f'{x:.6f}' for x in mine)}\n  PyTorch {' '.join(f'{x:.6f}' for x in theirs)}", file=sys.stderr)
    return max(abs(x - y) / abs(y) for x, y in zip(mine, theirs, strict=True))


def row(a, net, threads, folder):
    own = Process(a.own, here / f"{net}.prototxt", threads, "--dump", folder)
    flops, ceiling, isa = float(own.greeting[0]), float(own.greeting[1]), own.greeting[2]
    n = STEPS[net]
    peers = {m: Process(a.python, here / "peer.py", net, threads, m, folder) for m in MODES}
    first = {m: min(p.ask("steps", n)[0] for _ in range(2)) for m, p in peers.items()}
    best = min(first, key=first.get)
    for m, p in peers.items():
        if m != best:
            p.end()
    own.ask("steps", n)
    pairs = [(own.ask("steps", n)[0], peers[best].ask("steps", n)[0]) for _ in range(a.pairs)]
    own.end(), peers[best].end()
    ratios = [p / o for o, p in pairs]
    ms = min(o for o, _ in pairs)
    share = statistics.median(flops / (o * 1e-3) / (ceiling * 1e9 * threads) for o, _ in pairs)
    print(f"| {net} | {threads} | {ms:.2f} | {min(p for _, p in pairs):.2f} ({best}) | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
          f"| {100 * share:.0f} % of {ceiling * threads:.0f} GFLOP/s, {isa} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--nets", default="lenet,cifar10_quick,caffenet")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--pairs", type=int, default=10)
    a = parser.parse_args()
    a.own = Path(a.build) / "bench" / "train_bench"
    with tempfile.TemporaryDirectory() as folder:
        apart = {net: losses(a, net, folder) for net in a.nets.split(",")}
        print("| net | threads | crema ms | PyTorch ms (its best mode) | ratio | share of the ceiling |\n| --- | --- | --- | --- | --- | --- |", flush=True)
        for net in a.nets.split(","):
            for threads in a.threads.split(","):
                row(a, net, int(threads), folder)
        print("\nlargest relative difference of 8 losses: " + ", ".join(f"{n} {d:.1e}" for n, d in apart.items()))


main()

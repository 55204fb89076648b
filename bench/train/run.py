#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training steps beside PyTorch's best mode, in turns; prints a table.

    run.py BUILD [--python PYTHON] [--nets lenet,cifar10_quick,caffenet] [--threads 1,2] [--pairs 10]

PYTHON has torch (default: the one that runs this). First 8 losses from the same weights and data side by side, dropout off.
Then two rounds of N steps in each of PyTorch's modes choose the fastest, and PAIRS times the fastest of N steps here and
there follow in turn; N is 30, or 5 for CaffeNet. Ratio: PyTorch's milliseconds / crema's, median (least to most). Share: of
the machine's own multiply-add ceiling, by the same threads, measured before each pair. Foreign: the part of the processors' time that
other programs, or other guests of the host, took meanwhile; above 3 % a row is not to be trusted.
"""
import argparse, os, statistics, subprocess, sys, tempfile, time
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


class Foreign:
    """The share of all processors' time that went to others than these processes since this was made."""

    def __init__(self, *processes):
        self.pids = [p.p.pid for p in processes] + [os.getpid()]
        self.before = self.now()

    def now(self):
        total = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        own = sum(int(x) for pid in self.pids for x in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        return sum(total), sum(total) - total[3] - total[4] - own  # all, less idle and iowait, less own

    def share(self):
        (t0, f0), (t1, f1) = self.before, self.now()
        return max(0, f1 - f0) / max(1, t1 - t0)


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
    flops, isa = float(own.greeting[0]), own.greeting[1]
    n = STEPS[net]
    peers = {m: Process(a.python, here / "peer.py", net, threads, m, folder) for m in MODES}
    first = {m: min(p.ask("steps", n)[0] for _ in range(2)) for m, p in peers.items()}
    best = min(first, key=first.get)
    for m, p in peers.items():
        if m != best:
            p.end()
    print(f"{net}, {threads} threads: PyTorch {', '.join(f'{m} {t:.2f} ms' for m, t in first.items())}", file=sys.stderr)
    own.ask("steps", n)
    foreign = Foreign(own, peers[best])
    turns = [(own.ask("ceiling", 50)[0], own.ask("steps", n)[0], peers[best].ask("steps", n)[0]) for _ in range(a.pairs)]
    foreign_share = foreign.share()
    own.end(), peers[best].end()
    ratios = [p / o for _, o, p in turns]
    share = statistics.median(flops / (o * 1e-3) / (c * 1e9) for c, o, _ in turns)
    ceiling = max(c for c, _, _ in turns)
    print(f"| {net} | {threads} | {min(o for _, o, _ in turns):.2f} | {min(p for _, _, p in turns):.2f} ({best}) "
          f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
          f"| {100 * share:.0f} % of {ceiling:.0f} GFLOP/s, {isa} | {100 * foreign_share:.0f} % |", flush=True)


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
        print("| net | threads | crema ms | PyTorch ms (its best mode) | ratio | share of the ceiling | foreign |\n"
              "| --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for net in a.nets.split(","):
            for threads in a.threads.split(","):
                row(a, net, int(threads), folder)
        print("\nlargest relative difference of 8 losses: " + ", ".join(f"{n} {d:.1e}" for n, d in apart.items()))


main()

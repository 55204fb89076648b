#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weak scaling of synchronous SGD to 2 ranks on one machine, and how much of an exchange hides behind backward.

    python3 bench/comm/weak_scaling.py BUILD [--turns 3]

Each turn runs, one after the other: one rank of 1 thread; 2 ranks as threads; 2 ranks as processes over tcp; each rank with 1
thread and the same batch. Efficiency is the time of one rank's step over that of two. Hidden: the two threads also run over
a link of the given rate that takes no processor time (bench/scale/delaying.hpp); a step sends half of the gradients and
receives half of the weights; what of that time the step did not grow by was hidden. A busy machine shows as `waited`:
the share of the time that a rank was ready to run and something else had its processor.
"""
import argparse, json, secrets, socket, statistics, subprocess
from pathlib import Path

root = Path(__file__).parents[2]
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build", type=Path)
parser.add_argument("--turns", type=int, default=3)
arguments = parser.parse_args()
NETS = [("lenet", 64, 30, 215576, 2.0), ("cifar10_quick", 100, 8, 72792, 0.25), ("caffenet", 16, 2, 1 << 20, 4.0)]  # batch, steps, bucket, Gbit/s


def bench(net, batch, steps, bucket, *extra):
    command = [arguments.build / "bench" / "step_bench", root / "bench" / "train" / f"{net}.prototxt", "--batch", batch, "--steps", steps, "--rounds", 3, "--bucket", bucket, *extra]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def result(process):
    return json.loads(process.communicate(timeout=300)[0])


def tcp(*what):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    secret = secrets.token_hex(16)
    ranks = [bench(*what, "--rank", r, "--size", 2, "--address", address, "--secret", secret, "0:0") for r in range(2)]
    first = result(ranks[0])
    ranks[1].communicate(timeout=60)
    return first


def step(run, case=0):
    return statistics.median(run["cases"][case]["seconds"])


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


print(f"{'net':>15} {'batch':>6} {'threads':>18} {'tcp':>18} {'Gbit/s':>7} {'sent, % of step':>16} {'hidden %':>9} {'waited %':>9}", flush=True)
for net, batch, steps, bucket, rate in NETS:
    what = (net, batch, steps, bucket)
    turns = [(result(bench(*what, "--alone", "0:0")), result(bench(*what, "0:0", f"0:{rate}")), tcp(*what)) for _ in range(arguments.turns)]
    sent = 2 * turns[0][1]["parameters"] * 4 / 2 * 8 / (rate * 1e9)  # the gradients' reduce-scatter and the weights' all-gather
    hidden = statistics.median(100 * (1 - (step(t[1], 1) - step(t[1])) / sent) for t in turns)
    waited = statistics.median(100 * max(run["waited"] for run in t) for t in turns)
    efficiency = [spread([step(t[0]) / step(t[k]) for t in turns]) for k in (1, 2)]
    share = statistics.median(100 * sent / step(t[1]) for t in turns)
    print(f"{net:>15} {batch:6} {efficiency[0]:>18} {efficiency[1]:>18} {rate:7} {share:16.0f} {hidden:9.0f} {waited:9.1f}", flush=True)

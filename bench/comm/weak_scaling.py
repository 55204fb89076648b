#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weak scaling of synchronous SGD to 2 ranks on one machine, and how much of the exchange hides behind backward.

    python3 bench/comm/weak_scaling.py BUILD [--turns 3]

Each turn runs, one after the other: one rank of 1 thread; 2 ranks as threads; 2 ranks as processes over tcp; each rank with 1
thread and the same batch. Efficiency is the time of one rank's step over that of two. What of the exchange (reduce-scatter
and all-gather, timed alone) does not show in the step is hidden; the owners' halved update is taken into account. A busy
machine shows as `waited`: the share of the time that a rank was ready and something else had its processor.
"""
import argparse, json, secrets, socket, statistics, subprocess
from pathlib import Path

root = Path(__file__).parents[2]
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build", type=Path)
parser.add_argument("--turns", type=int, default=3)
arguments = parser.parse_args()
NETS = [("lenet", 64, 40), ("cifar10_quick", 100, 12), ("caffenet", 16, 4)]


def bench(net, batch, steps, *extra):
    command = [arguments.build / "bench" / "step_bench", root / "bench" / "train" / f"{net}.prototxt", "--batch", batch, "--steps", steps, "--rounds", 3, *extra, "0:0"]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def result(process):
    return json.loads(process.communicate(timeout=300)[0])


def tcp(*what):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    secret = secrets.token_hex(16)
    ranks = [bench(*what, "--rank", r, "--size", 2, "--address", address, "--secret", secret) for r in range(2)]
    first = result(ranks[0])
    ranks[1].communicate(timeout=60)
    return first


def step(run):
    return statistics.median(run["cases"][0]["seconds"])


print(f"{'net':>15} {'':>8} {'efficiency':>18} {'exchange, % of step':>20} {'hidden %':>9} {'waited %':>9}")
for what in NETS:
    turns = [(result(bench(*what, "--alone")), result(bench(*what)), tcp(*what)) for _ in range(arguments.turns)]
    for k, name in ((1, "threads"), (2, "tcp")):
        efficiency = [step(t[0]) / step(t[k]) for t in turns]
        exchange = [t[k]["reduce_scatter"] + t[k]["all_gather"] for t in turns]
        shown = [step(t[k]) - step(t[0]) + t[0]["update"] / 2 for t in turns]
        hidden = [100 * (1 - x / e) for x, e in zip(shown, exchange)]
        middle = statistics.median
        print(f"{what[0]:>15} {name:>8} {middle(efficiency):6.3f} ({min(efficiency):.2f}-{max(efficiency):.2f}) "
              f"{100 * middle(e / step(t[k]) for e, t in zip(exchange, turns)):20.1f} {middle(hidden):9.0f} {100 * middle(t[k]['waited'] for t in turns):9.1f}")

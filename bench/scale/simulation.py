# SPDX-License-Identifier: Apache-2.0
"""The same schedule on SimGrid's simulated network: an outside check of the model's collectives and steps."""
import shutil, subprocess, sys
from pathlib import Path
from model import Link, buckets, step, wanted_by
from nets import counted

here = Path(__file__).parent
GBIT, LATENCY = 10, 50e-6
# The fluid network alone, where flows share links fairly; and with what SimGrid's authors measured of TCP and MPI.
NETWORKS = {
    "fluid": ["--cfg=network/model:CM02", "--cfg=network/latency-factor:1", "--cfg=network/bandwidth-factor:1",
              "--cfg=network/weight-S:0", "--cfg=network/TCP-gamma:0", "--cfg=network/crosstraffic:0"],
    "SMPI's factors": []}


class Simulation:
    def __init__(self, folder):
        self.folder = folder / "smpi"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = self.folder / "smpi_schedule"
        subprocess.run(["smpicxx", "-std=c++17", "-O2", here / "smpi_schedule.cpp", "-o", self.program], check=True)
        (self.folder / "star.xml").write_text(
            '<?xml version="1.0"?>\n<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n<platform version="4.1">\n'
            f'  <cluster id="star" prefix="n" suffix="" radical="0-63" speed="1Gf" bw="{GBIT}Gbps" lat="{LATENCY / 2 * 1e6:g}us" '
            'sharing_policy="SPLITDUPLEX"/>\n</platform>\n')
        (self.folder / "hosts").write_text("".join(f"n{i}\n" for i in range(64)))

    def seconds(self, ranks, script, network):
        (self.folder / "script").write_text("\n".join(script) + "\n")
        run = subprocess.run(["smpirun", "-np", str(ranks), "-platform", "star.xml", "-hostfile", "hosts", *NETWORKS[network],
                              "--cfg=smpi/simulate-computation:no", "--log=root.threshold:error", self.program.resolve(), "script"],
                             cwd=self.folder, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"smpirun: {run.stderr}")
        return float(run.stdout.split()[-1])


def script(t, ranks, bucket_bytes=1 << 20):
    """A step of the timeline as smpi_schedule reads it."""
    ranges, lines, started = buckets(t, bucket_bytes), [], 0
    for _, count in reversed(ranges):
        lines += [f"sleep {t.update / ranks * count / t.parameters}", f"gather {4 * count}"]
    for layer in t.forward:
        lines += [f"sleep {layer[0]}", *(f"await {len(ranges) - 1 - b}" for b in wanted_by(layer, ranges))]
    lines += [f"sleep {t.rest}", f"small {16 * t.outputs + 8}"]
    waiting = [sum(1 for g in t.gradients if b in wanted_by(g, ranges)) for b in range(len(ranges))]
    for gradient in t.gradients:
        lines.append(f"sleep {gradient[0]}")
        for b in wanted_by(gradient, ranges):
            waiting[b] -= 1
        while started < len(ranges) and waiting[started] <= 0:
            lines.append(f"reduce {4 * ranges[started][1]}")
            started += 1
    return lines + [f"sleep {t.after}", "wait"]


def head(first):
    columns = [first, "ranks", "model", *(c for n in NETWORKS for c in (n, "ratio"))]
    return "| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns)


def cells(model, found):
    return f"{model * 1e3:.3f} | " + " | ".join(f"{x * 1e3:.3f} | {x / model:.2f}" for x in found)


def report(keep, build):
    if not shutil.which("smpicxx"):
        print("no simulation: there is no smpicxx (Debian: libsimgrid-dev)", file=sys.stderr)
        return
    s = Simulation(build)
    link = lambda p: Link(p, LATENCY, GBIT * 1.25e8)
    print(f"\n## A reduce-scatter on {GBIT} Gbit/s and {LATENCY * 1e6:.0f} us: model (projected) and SimGrid (simulated), ms\n\n"
          + head("bytes"))
    for n in (64 << 10, 1 << 20, 16 << 20, 128 << 20):
        for p in (2, 4, 8, 16, 32, 64):
            model = link(p).wire(n) + link(p).begin()
            found = [s.seconds(p, [f"reduce {n}", "wait"], network) for network in NETWORKS]
            print(f"| {n >> 10} KiB | {p} | {cells(model, found)} |", flush=True)
    print("\n## Steps on the same network: 32 images a node at 200 GFLOP/s, ms\n\n"
          + head("net"))
    # A simulation takes time as the square of buckets x ranks^2 flows: minutes for these, an hour for 64 ranks of ResNet-50.
    for net, sizes in (("CaffeNet", (16, 32, 64)), ("GoogLeNet", (16, 32)), ("ResNet-50", (8, 16))):
        t = counted(net, 32, 2e11, 1e10)
        for p in sizes:
            model = step(t, link(p)).seconds
            found = [s.seconds(p, script(t, p), network) for network in NETWORKS]
            print(f"| {net} | {p} | {cells(model, found)} |", flush=True)

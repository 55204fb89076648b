# SPDX-License-Identifier: Apache-2.0
"""Steps on many nodes as the model has them: CaffeNet from measured layers, other nets from counted operations."""
from check import fitted
from model import Link, step, timeline
from nets import NETS, counted

NODES = (16, 32, 64)
LATENCY = 50e-6  # between two nodes, seconds
MESSAGE = 5e-6  # processor time of a message to one peer over TCP; over RDMA 1e-6
CPU_BATCH = 64


def measure(bench, keep):
    args = ["--batch", CPU_BATCH, "--threads", 2, "--alone", "--rounds", 2, "--steps", 2, "0:0"]
    keep.get_or("caffenet alone", lambda: bench("caffenet", *args))


def head(*columns):
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))


def speedups(t, link):
    """Cells for NODES: how many single nodes that many are worth."""
    results = [(n, step(t, link(n)).efficiency) for n in NODES]
    return " | ".join(f"{n * e:.1f} ({100 * e:.0f} %)" for n, e in results)


def cpu_nets(keep):
    """(how its times are known, timeline): counted nets run at the rate that CaffeNet was measured at."""
    profile = keep.get("caffenet alone")
    if not profile:
        return []
    caffenet = timeline(profile)
    macs = [m for _, m in NETS["CaffeNet"]()]
    flops = (6 * sum(macs) - 2 * macs[0]) * profile["batch"] / (caffenet.before + caffenet.backward)
    memory = 20 * caffenet.parameters / caffenet.update
    print(f"The node is the machine that measured: 2 threads, {flops * 1e-9:.0f} GFLOP/s over CaffeNet's step, "
          f"batch {profile['batch']} a node.\n")
    caffenet.name = "CaffeNet"
    return [("measured layers", caffenet)] + [("counted", counted(n, CPU_BATCH, flops, memory)) for n in ("GoogLeNet", "ResNet-50")]


def cpu(keep):
    fit = fitted(keep)
    window = fit[0]["window"] if fit else 131072
    costs = {k: fit[0][k] for k in ("reduce_cpu", "gather_cpu")} if fit else {}
    print(f"\n## Projected: nodes of two CPU cores, {LATENCY * 1e6:.0f} us, a flat switch\n")
    nets = cpu_nets(keep)
    head("net", "layer times", "Gbit/s", "one node ms", "exchange", *(f"{n} nodes" for n in NODES))
    for how, t in nets:
        for gbit in (1, 10):
            tcp = lambda n: Link(n, LATENCY, gbit * 1.25e8, hardware=False, window=window, message=MESSAGE, **costs)
            hardware = lambda n: Link(n, LATENCY, gbit * 1.25e8, message=1e-6)
            for kind, link in (("tcp as it is", tcp), ("moved by hardware", hardware)):
                print(f"| {t.name} | {how} | {gbit} | {t.alone * 1e3:.0f} | {kind} | {speedups(t, link)} |")


def gpu_nets():
    """Each net at one assumed rate, on a flat switch."""
    print("\n## Projected: nodes of one GPU at an assumed 4 TFLOP/s (P40 or P100 in fp32), batch 64 each, moved by hardware\n")
    head("net", "Gbit/s", "one node ms", *(f"{n} nodes" for n in NODES))
    for net in NETS:
        t = counted(net, 64, 4e12, 4e11)
        for gbit in (10, 50, 100):
            print(f"| {net} | {gbit} | {t.alone * 1e3:.1f} | {speedups(t, lambda n: Link(n, LATENCY, gbit * 1.25e8, message=1e-6))} |")


# Published: system, net, batch a GPU, GPUs, GPUs a node, FLOP/s a GPU, Gbit/s a node, bytes/s inside a node, the figure, what
# of this is assumed. FLOP/s are 35 % of the fp32 peak unless a rate was published; batches as published, a GPU's where that is unclear.
PUBLISHED = [
    ("Caffe-MPI 2.0, 4 nodes x 4 P40", "CaffeNet", 1024, 16, 4, 4.1e12, 56, 1e10, "14.65 (AlexNet)", "35 % of 11.8 TFLOP/s, 56 Gbit/s, batch is a GPU's"),
    ("same", "GoogLeNet", 128, 16, 4, 4.1e12, 56, 1e10, "14.25", "same"),
    ("same", "ResNet-50", 32, 16, 4, 4.1e12, 56, 1e10, "15.34 (ResNet)", "same"),
    ("MXNet, 4 nodes x 4 P100", "GoogLeNet", 64, 16, 4, 220 * 6 * 1.583e9, 100, 1e10, "13.4", "rate from its 220 images/s; batch, 100 Gbit/s"),
    ("Poseidon 2015, 8 K20 nodes, 40 GbE", "CaffeNet", 256, 8, 1, 1.2e12, 40, 0, "4.5 (AlexNet)", "35 % of 3.5 TFLOP/s; batch"),
    ("same", "GoogLeNet", 32, 8, 1, 1.2e12, 40, 0, "4.0", "same"),
    ("Goyal et al., 32 nodes x 8 P100, 50 GbE", "ResNet-50", 32, 256, 8, 3.7e12, 50, 1.6e10, "about 0.9 of 32 nodes", "35 % of 10.6 TFLOP/s"),
    ("FireCaffe, 128 GPUs, batch 1024 in all", "GoogLeNet", 8, 128, 1, 1.4e12, 40, 0, "47", "35 % of 4 TFLOP/s, 40 Gbit/s"),
]


def published():
    print("\n## Projected beside published: speedup over one GPU (Goyal et al.: over one node)\n")
    head("system", "net", "GPUs", "published", "projected, in nodes first", "projected, as one level", "assumed")
    for system, net, batch, gpus, per_node, flops, gbit, local, figure, assumed in PUBLISHED:
        t = counted(net, batch, flops, flops / 10)

        def speedup(n, hierarchical):
            g = min(per_node, n)
            if n == g > 1:  # one node
                link = Link(n, 1e-5, local, message=1e-6)
            else:
                link = Link(n, LATENCY, gbit * 1.25e8, per_node=g, local=local, hierarchical=hierarchical, message=1e-6)
            return n * step(t, link).efficiency

        def text(hierarchical):
            if "Goyal" in system:
                share = speedup(gpus, hierarchical) / speedup(per_node, hierarchical) * per_node / gpus
                return f"{share:.2f} of {gpus // per_node} nodes"
            return f"{speedup(gpus, hierarchical):.1f}"

        print(f"| {system} | {net} | {gpus} | {figure} | {text(True) if per_node > 1 else '-'} | {text(False)} | {assumed} |")


def report(keep):
    cpu(keep)
    gpu_nets()
    published()

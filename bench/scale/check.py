# SPDX-License-Identifier: Apache-2.0
"""Measures steps of two ranks over slower links, and what the model says of those that it was not fitted to."""
import statistics, sys
from network import Cable, Refused
from model import Link, between, step, timeline

# Batches: the layers are measured at the first and the last, steps are predicted at the one in the middle.
BATCHES = {"lenet": (32, 64, 128), "cifar10_quick": (32, 64, 96), "caffenet": (16, 32, 48)}
ROUNDS = {"lenet": (4, 20), "cifar10_quick": (4, 5), "caffenet": (2, 2)}
# The delaying communicator's links: microseconds and Gbit/s.
DELAYS = {"lenet": ["20:10", "100:1", "1000:1", "50:0.3"], "cifar10_quick": ["20:1", "500:0.3", "2000:0.1"],
          "caffenet": ["20:10", "100:4", "200:2"]}
# The cable: Gbit/s of tbf, and added latencies. The first two runs fit the model.
FIT = [("lenet", 64, 0, ["0:0"]), ("lenet", 64, 1, ["0:0"])]
CABLE = [("lenet", 64, 1, ["500:0", "2000:0"]), ("lenet", 64, 2, ["0:0", "500:0"]), ("lenet", 128, 0.5, ["0:0"]),
         ("cifar10_quick", 64, 0.2, ["0:0", "1000:0"]), ("cifar10_quick", 32, 1, ["0:0"]),
         ("caffenet", 16, 1, ["0:0"]), ("caffenet", 16, 4, ["0:0", "500:0"]), ("lenet", 32, 0.3, ["3000:0"]),
         ("cifar10_quick", 96, 0.5, ["2000:0"])]


def plan(net):
    rounds, steps = ROUNDS[net]
    return ["--rounds", rounds, "--steps", steps]


def measure(bench, keep):
    """All runs, those that `keep` (a dict that saves itself) has already left out."""
    for net, batches in BATCHES.items():
        for batch in batches:
            links = DELAYS[net] if batch == batches[1] else []
            keep.get_or(f"delay {net} {batch}", lambda: bench(net, "--batch", batch, *plan(net), *links))
    try:
        with Cable() as cable:
            for net, batch, gbit, links in FIT + CABLE:
                def run():
                    cable.limit(gbit)
                    return bench(net, "--batch", batch, *plan(net), *links, cable=cable)
                keep.get_or(f"cable {net} {batch} {gbit} {' '.join(links)}", run)
    except Refused as error:
        print(f"no cable, the delaying communicator alone: {error}", file=sys.stderr)


def costs(profile):
    """Processor seconds for each byte sent, measured where nothing else is slower."""
    sent = 4 * profile["parameters"] * (profile["ranks"] - 1) / profile["ranks"]
    return {"reduce_cpu": profile["reduce_scatter"] / sent, "gather_cpu": profile["all_gather"] / sent}


class Row:
    def __init__(self, profile, case, predicted):
        self.net = profile["net"].rsplit("/", 1)[-1].split(".")[0]
        self.batch, self.latency, self.waited = profile["batch"], case["latency"], profile["waited"]
        self.measured, self.predicted = statistics.median(case["seconds"]), predicted
        self.alone = timeline(profile).alone

    @property
    def error(self):
        return self.predicted / self.measured - 1

    def text(self, gbit):
        return (f"| {self.net} | {self.batch} | {gbit:g} | {self.latency * 1e6:.0f} | {self.alone * 1e3:.1f} | {self.measured * 1e3:.1f} "
                f"| {self.predicted * 1e3:.1f} | {100 * self.error:+.1f} % | {100 * self.waited:.0f} % |")


HEAD = ("| net | batch | Gbit/s | latency us | computing ms | measured ms | model ms | error | waited |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")


def delays(keep):
    """Layer times from two other batches, the link's numbers as given: no step was used."""
    rows = []
    for net, (low, mid, high) in BATCHES.items():
        small, run, large = (keep.get(f"delay {net} {batch}") for batch in (low, mid, high))
        if not (small and large and run):
            continue
        t = between(small, large, mid)
        for case in run["cases"]:
            link = Link(2, case["latency"] + small["barrier"], case["gbit"] * 1.25e8, **costs(small))
            rows.append((case["gbit"], Row(run, case, step(t, link, run["bucket"]).seconds)))
    return rows


def fitted(keep):
    """The cable's link as LeNet's steps without and with a limit of 1 Gbit/s show it; None without a cable."""
    free, slow = (keep.get(f"cable {net} {batch} {gbit} {' '.join(links)}") for net, batch, gbit, links in FIT)
    if not (free and slow):
        return None
    sent = 2 * 4 * slow["parameters"] / 2
    share = sent / (slow["reduce_scatter"] + slow["all_gather"] - 2 * slow["barrier"]) / 1.25e8
    measured = statistics.median(slow["cases"][0]["seconds"])

    def link(gbit, window, late=0.0):
        return Link(2, free["barrier"], gbit * share * 1.25e8, hardware=False, window=window, late=late, **costs(free))

    windows = [2 ** (k / 4) * 1e4 for k in range(40)]
    error = lambda w: abs(step(timeline(slow), link(1, w), slow["bucket"]).seconds - measured)
    window = min(windows, key=error)
    numbers = {"share": share, "window": window, "barrier": free["barrier"], **costs(free)}
    return numbers, lambda gbit, late: link(gbit, window, late)


def cables(keep, fit):
    rows = []
    for net, batch, gbit, links in CABLE:
        run = keep.get(f"cable {net} {batch} {gbit} {' '.join(links)}")
        for case in run["cases"] if run else []:
            rows.append((gbit, Row(run, case, step(timeline(run), fit(gbit, case["latency"]), run["bucket"]).seconds)))
    return rows


def summary(rows):
    errors = [abs(r.error) for _, r in rows]
    return (f"{len(errors)} cases: median error {100 * statistics.median(errors):.1f} %, largest {100 * max(errors):.1f} %, "
            f"{sum(e <= 0.1 for e in errors)} within 10 %")


def report(keep):
    print("## Held out: the delaying communicator over threads (measured and predicted)\n\n" + HEAD)
    rows = delays(keep)
    for gbit, row in rows:
        print(row.text(gbit))
    if rows:
        print("\n" + summary(rows))
    found = fitted(keep)
    if not found:
        return
    numbers, link = found
    print("\n## Held out: TCP over a cable with tc tbf (measured and predicted)\n\n"
          "Fitted to LeNet, batch 64, without a limit and at 1 Gbit/s: " + ", ".join(f"{k} {v:.3g}" for k, v in numbers.items())
          + "\n\n" + HEAD)
    rows = cables(keep, link)
    for gbit, row in rows:
        print(row.text(gbit))
    if rows:
        print("\n" + summary(rows))

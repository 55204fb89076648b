#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The model against sums done by hand; no clock is read."""
from model import Link, Timeline, between, buckets, step, timeline
from nets import NETS, counted


def near(a, b):
    assert abs(a - b) <= 1e-9 * max(1.0, abs(b)), f"{a} is not {b}"


# Two layers of a quarter of a million parameters: each a bucket of 1 MB. Forward 10 s, backward 2 + 3 + 1 s, update 4 s.
M = 1 << 18
two = Timeline(10.0, [(2.0, M, M), (3.0, 0, M)], 1.0, 4.0, 2 * M, outputs=0)
near(two.alone, 20.0)
assert buckets(two, 1 << 20) == [(M, M), (0, M)] and buckets(two, 2 << 20) == [(0, 2 * M)]

# Two ranks send half a bucket, 0.5 MB. At 0.5 MB/s that is 1 s: the first bucket hides behind backward, the second ends with
# it. Then 2 s of update, 1 s for each bucket; the last all-gather ends 1 s later, and a byte is broadcast.
link = Link(2, 0.0, 2 * M)
r = step(two, link)
near(r.forward, 10), near(r.backward, 16), near(r.reduced, 16)
near(r.seconds, 16 + 2 + 1 + 0.5 / M)
# At a quarter of that the link is busy from the first gradient on: 12 + 4 + 4, then 21 + 4 + 4.
near(step(two, Link(2, 0.0, M / 2)).seconds, 21 + 8 + 2 / M)
# Latency: after the losses, once behind the last bucket of each exchange, and for the byte.
near(step(two, Link(2, 0.25, 2 * M)).seconds, 10.25 + 6 + 0.25 + 2 + 1 + 0.25 + 0.25 + 0.5 / M)

# A link that moves in calls only, with no buffers: nothing of the first bucket goes before the next gradient, then
# both go in turn behind backward.
waits = step(two, Link(2, 0.0, 2 * M, hardware=False, window=0.0))
near(waits.reduced, 16 + 2), near(waits.seconds, 18 + 2 + 2 + 0.5 / M)
# With large buffers: the first has gone at the second gradient (15), the second, begun then, at the end (16).
near(step(two, Link(2, 0.0, 2 * M, hardware=False, window=1e9)).reduced, 16)

# Alone, and with a link without cost: N owners share the update.
near(step(two, Link(1, 1.0, 1.0)).seconds, 20.0)
assert abs(step(two, Link(4, 0.0, 1e18)).seconds - 17.0) < 1e-6

# Two levels: nodes of 4 ranks; in nodes first, a node's link carries a fourth.
flat, tree = (Link(16, 0.0, 1e9, per_node=4, local=1e12, hierarchical=h) for h in (False, True))
near(flat.wire(1e9), 4 * 0.75)
near(tree.wire(1e9), 0.75 + 0.75e-3)

# What is counted is what the papers' nets have.
assert [sum(p for p, _ in NETS[n]()) for n in ("CaffeNet", "GoogLeNet", "ResNet-50")] == [60965224, 6998552, 25557032]
assert [round(sum(m for _, m in NETS[n]()) / 1e6) for n in NETS] == [724, 1583, 3858]
for net in NETS:
    t = counted(net, 32, 1e12, 1e11)
    assert t.gradients[-1][1] == 0 and sum(n for _, _, n in t.gradients) == t.parameters
    for ranks in (2, 16, 64):
        fast, slow, called = (step(t, Link(ranks, 1e-5, b, hardware=h)).seconds for b, h in ((1e10, True), (1e9, True), (1e9, False)))
        assert fast <= slow <= called, "a slower link is no faster, nor one that waits to be called"

# Profiles: a layer's gradients at their times, and what lies between two batches.
profile = lambda batch, s: {
    "net": "x/tiny.prototxt", "batch": batch, "ranks": 2, "feed": s, "update": s, "outputs": 1, "parameters": 48,
    "layers": [{"forward": s, "backward": s, "segments": []}, {"forward": s, "backward": 4 * s, "segments": [[0, 16, s], [16, 16, 3 * s]]},
               {"forward": s, "backward": 2 * s, "segments": [[32, 16, s]]}]}
t = timeline(profile(16, 1.0))
assert t.gradients == [(1.0, 32, 16), (2.0, 0, 16), (2.0, 16, 16)] and t.after == 2.0 and t.before == 4.0 and t.update == 2.0
near(between(profile(16, 1.0), profile(48, 3.0), 32).alone, 2 * t.alone)
print("the model agrees with the sums")

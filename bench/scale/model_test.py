#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The model against sums done by hand; no clock is read."""
from model import Link, Timeline, between, buckets, step, timeline
from nets import NETS, counted


def near(a, b):
    assert abs(a - b) <= 1e-9 * max(1.0, abs(b)), f"{a} is not {b}"


# Two layers of a quarter of a million parameters: each a bucket of 1 MB. Forward 2 + 5 + 3 s, backward 2 + 3 + 1 s, update 4 s.
M = 1 << 18
two = Timeline([(2.0, 0, M), (5.0, M, M)], 3.0, [(2.0, M, M), (3.0, 0, M)], 1.0, 4.0, 2 * M, outputs=0)
near(two.alone, 20.0)
assert buckets(two, 1 << 20) == [(M, M), (0, M)] and buckets(two, 2 << 20) == [(0, 2 * M)]

# Two ranks send half a bucket, 0.5 MB. At 0.5 MB/s that is 1 s: after 1 s of update the first bucket leaves, after 2 the second,
# and both are there before their layers, at 4 and 9. The losses are known at 12. The first gradients hide behind backward,
# the second ends with it.
link = Link(2, 0.0, 2 * M)
r = step(two, link)
near(r.forward, 12 + 4 / M), near(r.backward, 18 + 4 / M), near(r.seconds, 18 + 4 / M)
# At an eighth of that a bucket takes 8 s: weights come at 9 and 17, losses at 20; gradients leave at 22 and 30 and are there at 38.
near(step(two, Link(2, 0.0, M / 4)).forward, 20 + 32 / M)
near(step(two, Link(2, 0.0, M / 4)).seconds, 38 + 32 / M)
# One bucket: it leaves after all of the update, and forward waits for all of it.
near(step(two, Link(2, 0.0, M / 4), 2 << 20).forward, 2 + 16 + 5 + 3 + 32 / M)
# Latency: with the losses, and once behind the last bucket.
near(step(two, Link(2, 0.25, 2 * M)).seconds, 12.25 + 6 + 0.25 + 4 / M)

# A link that moves in calls only, with no buffers: the weights go while their layers wait, 1 s each; of the gradients
# nothing goes before backward has ended.
waits = step(two, Link(2, 0.0, 2 * M, hardware=False, window=0.0))
near(waits.forward, 14 + 4 / M), near(waits.backward, 20 + 4 / M), near(waits.seconds, 22 + 4 / M)
# With large buffers: the first has gone at the second gradient (17), the second, begun then, at the end (18).
near(step(two, Link(2, 0.0, 2 * M, hardware=False, window=1e9)).seconds, 18 + 4 / M)

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
assert t.gradients == [(1.0, 32, 16), (2.0, 0, 16), (2.0, 16, 16)] and t.after == 2.0 and t.before == 4.0 and t.forward == [(2.0, 0, 32), (1.0, 32, 16)] and t.update == 2.0
near(between(profile(16, 1.0), profile(48, 3.0), 32).alone, 2 * t.alone)
print("the model agrees with the sums")

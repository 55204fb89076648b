# SPDX-License-Identifier: Apache-2.0
"""A model of a synchronous training step: what is computed, what travels, and what of it is hidden.

    step(timeline, Link(ranks=16, latency=50e-6, bandwidth=1.25e9)).seconds

It follows include/crema/parallel/synchronous.hpp and comm/tcp_collective.hpp, from one update to the next: the owners
update their parts, bucket by bucket from the first layer's to the last's, and each is all-gathered while forward goes on, which
waits for a layer's weights before that layer; the losses are added over the ranks; backward, from the last layer to the
first, fills buckets; each full bucket is reduce-scattered while backward goes on, in order; the step ends when all have come.
In a reduce-scatter or all-gather of n bytes a rank sends n (p - 1) / p bytes, directly to the p - 1 others, so that it costs
one latency, not p - 1 as in a ring.

All ranks are alike: there are no stragglers, no loss of packets, no jitter in it.
"""
from dataclasses import dataclass, field, replace

SMALL = 32 << 10  # bytes that a rank gets at most where everybody sends everything (TcpCollective::small_bytes)


@dataclass(frozen=True)
class Link:
    """How ranks are joined. Seconds, bytes, bytes a second each way.

    flat: every rank has `bandwidth` into a switch that is never the bottleneck. two levels: `per_node` ranks share a node's
    `bandwidth` and have `local` among themselves; `hierarchical` ranks reduce in their node first, otherwise each
    sends to all as if there were no nodes. hardware: the link moves by itself; otherwise only while a rank is inside
    the communicator, or `window` bytes beyond its last call (what the system's buffers hold).
    """
    ranks: int
    latency: float
    bandwidth: float
    per_node: int = 1
    local: float = 0.0
    hierarchical: bool = False
    hardware: bool = True
    window: float = 4e6
    message: float = 0.0  # processor time of a message to one peer
    reduce_cpu: float = 0.0  # processor time for each byte that is sent and added up
    gather_cpu: float = 0.0  # processor time for each byte that is sent and stored
    late: float = 0.0  # latency that delays the result but not what follows on the link

    def wire(self, n):
        """Seconds that the busiest link is taken by a reduce-scatter or all-gather of n bytes."""
        p, g = self.ranks, self.per_node
        if p == 1:
            return 0.0
        if g == 1:
            return n * (p - 1) / p / self.bandwidth
        nodes = p // g
        if self.hierarchical:
            return n * (g - 1) / g / self.local + n * (nodes - 1) / nodes / self.bandwidth
        return max(n * (p - 1) / p / self.local, g * n * (nodes - 1) / nodes / self.bandwidth)

    def begin(self):
        """Seconds before the first byte is there, beside the wire's."""
        peers = self.ranks - 1
        if self.per_node > 1 and self.hierarchical:
            peers = self.per_node - 1 + self.ranks // self.per_node - 1
        return self.latency + peers * self.message if self.ranks > 1 else 0.0

    def sent(self, n):
        return n * (self.ranks - 1) / self.ranks

    def small(self, n):
        """Seconds of an all-reduce of a few bytes."""
        if self.ranks == 1:
            return 0.0
        return self.late + self.begin() + n * (self.ranks - 1) / self.bandwidth


@dataclass
class Timeline:
    """One rank's step without the others.

    forward: for each layer with parameters, (seconds of input and layers since the one before began, first parameter, number
    of parameters). gradients: in the order backward finishes them, (seconds since the one before, first parameter, number of
    parameters). update: seconds for all parameters.
    """
    forward: list
    rest: float  # of forward, from where the last layer with parameters begins
    gradients: list
    after: float  # backward behind the last gradient
    update: float
    parameters: int
    outputs: int = 1
    name: str = ""

    @property
    def before(self):
        """Input and forward."""
        return sum(f[0] for f in self.forward) + self.rest

    @property
    def backward(self):
        return sum(g[0] for g in self.gradients) + self.after

    @property
    def alone(self):
        return self.before + self.backward + self.update


def timeline(profile):
    """From the JSON of step_bench."""
    forward, since = [], profile["feed"]
    for layer in profile["layers"]:
        if layer["segments"]:
            first, last = min(s[0] for s in layer["segments"]), max(s[0] + s[1] for s in layer["segments"])
            forward.append((since, first, last - first))
            since = 0.0
        since += layer["forward"]
    gradients, gap = [], 0.0
    for layer in reversed(profile["layers"]):
        last = 0.0
        for first, count, at in sorted(layer["segments"], key=lambda s: s[2]):
            gradients.append((gap + at - last, first, count))
            gap, last = 0.0, at
        gap += layer["backward"] - last
    return Timeline(forward, since, gradients, gap, profile["update"] * profile["ranks"], profile["parameters"], profile["outputs"],
                    profile["net"].rsplit("/", 1)[-1].split(".")[0])


def between(a, b, batch):
    """The timeline at a batch between or beyond those of two profiles: every time is linear in the blocks of 16 images."""
    blocks = [-(-n // 16) for n in (a["batch"], b["batch"], batch)]
    share = (blocks[2] - blocks[0]) / (blocks[1] - blocks[0])
    x, y = timeline(a), timeline(b)
    mix = lambda u, v: max(0.0, u + share * (v - u))
    both = lambda u, v: [(mix(g[0], h[0]), g[1], g[2]) for g, h in zip(u, v, strict=True)]
    return replace(x, forward=both(x.forward, y.forward), rest=mix(x.rest, y.rest), gradients=both(x.gradients, y.gradients),
                   after=mix(x.after, y.after), update=mix(x.update, y.update))


def buckets(t, bucket_bytes):
    """(first, count) of parameters, from the end to the beginning."""
    found, end = [], t.parameters
    firsts = sorted((first for _, first, _ in t.gradients), reverse=True)
    for first in firsts:
        if first == firsts[-1] or (end - first) * 4 >= bucket_bytes:
            found.append((first, end - first))
            end = first
    return found


@dataclass
class Job:
    left: float  # seconds of wire
    cpu: float  # processor seconds for each of these
    begun: bool = False
    there: float = -1.0  # when the last byte comes, as far as it is known
    done: float = -1.0  # when the result is there and seen


@dataclass
class Wire:
    """The link of one rank: collectives one after the other."""
    link: Link
    queue: list = field(default_factory=list)
    last: float = 0.0  # of the last call
    free: float = 0.0

    def start(self, t, n, cpu_per_byte):
        """Starts a collective at time t; the job, and the time when the rank goes on."""
        link = self.link
        wire, cpu = link.wire(n), link.sent(n) * cpu_per_byte
        job = Job(wire, cpu / wire if wire > 0 else 0.0)
        if link.hardware:
            self.free = max(self.free, t) + wire
            job.done = self.free + link.begin() + link.late
            return job, t + cpu
        self.queue.append(job)
        return job, self.poll(t)

    def poll(self, t):
        """A call at time t moves what it can; the time when the rank goes on."""
        since, self.last = self.last, t
        while self.queue:
            job = self.queue[0]
            if not job.begun:
                job.begun, since = True, t
            if job.left > 0:
                moved = min(job.left, t - since, self.link.window / self.link.bandwidth)
                job.left = job.left - moved if job.left - moved > 1e-12 else 0.0
                job.there = since + moved + self.link.begin()
                t += moved * job.cpu
            if job.left > 0 or t < job.there:
                break
            job.done = t + self.link.late
            self.queue.pop(0)
        self.last = max(self.last, t)
        return t

    def wait(self, job, t):
        """The time when the job's result is there, waited for since t."""
        if self.link.hardware:
            return max(t, job.done)
        t = self.poll(t)
        while job.done < 0:
            t = self.go_on(t, float("inf"))
        end = max(t, job.done)
        while self.queue and t < end:  # what comes late is waited for inside the communicator, too
            t = self.go_on(t, end)
        self.last = max(self.last, end)
        return end

    def go_on(self, t, until):
        """Inside the communicator from t on: the first job's end, or `until`."""
        job = self.queue[0]
        rate = max(1.0, job.cpu)
        moved = min(job.left, (until - t) / rate)
        job.begun, job.left, t = True, job.left - moved if job.left - moved > 1e-12 else 0.0, t + moved * rate
        if moved > 0:
            job.there = t + self.link.begin()
        if job.left > 0 or max(t, job.there) > until:
            return until
        t = max(t, job.there)
        job.done = t + self.link.late
        self.queue.pop(0)
        return t


@dataclass
class Result:
    seconds: float  # from one update to the next
    forward: float  # from the update until the losses are known
    backward: float  # until it ends, with what the exchange takes of the processor
    alone: float

    @property
    def efficiency(self):
        """Of the same ranks without an exchange, each at its own step."""
        return self.alone / self.seconds


def wanted_by(layer, ranges):
    """Indices of the ranges that hold a layer's parameters: (anything, first, count)."""
    _, first, count = layer
    return [b for b, (begin, n) in enumerate(ranges) if begin < first + count and first < begin + n]


def step(t, link, bucket_bytes=1 << 20):
    wire, ranges = Wire(link), buckets(t, bucket_bytes)
    now, arriving = 0.0, {}
    for b in reversed(range(len(ranges))):
        now += t.update / link.ranks * ranges[b][1] / t.parameters
        arriving[b], now = wire.start(now, 4 * ranges[b][1], link.gather_cpu)
    for layer in t.forward:
        now += layer[0]
        for b in wanted_by(layer, ranges):
            if b in arriving:
                now = wire.wait(arriving.pop(b), now)
    now += t.rest + link.small(16 * t.outputs + 8)
    forward = now

    waiting = [sum(1 for g in t.gradients if b in wanted_by(g, ranges)) for b in range(len(ranges))]
    jobs = []
    for gradient in t.gradients:
        now += gradient[0]
        for b in wanted_by(gradient, ranges):
            waiting[b] -= 1
        while len(jobs) < len(ranges) and waiting[len(jobs)] <= 0:
            job, now = wire.start(now, 4 * ranges[len(jobs)][1], link.reduce_cpu)
            jobs.append(job)
        if not link.hardware:
            now = wire.poll(now)
    now += t.after
    backward = now
    for job in jobs:
        now = wire.wait(job, now)
    return Result(now, forward, backward, t.alone)

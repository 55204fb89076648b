# SPDX-License-Identifier: Apache-2.0
"""Drives crema_executor by hand, as docs/spark_protocol.md says: what a Spark task does, without Spark."""
import gzip
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

INT, FLOAT, BYTES, FLOATS, STRING = range(5)
TRAIN, TEST = 0, 1


def text_format(**fields):
    """A message in protobuf's text format on one line: strings quoted, UPPER-CASE words bare, dicts as messages."""
    def one(name, value):
        if isinstance(value, dict):
            return "%s { %s }" % (name, text_format(**value))
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, str) and not value.isupper():
            value = json.dumps(value)
        return "%s: %s" % (name, value)
    return " ".join(one(k, x) for k, v in fields.items() for x in (v if isinstance(v, list) else [v]))


def pack_value(kind, value):
    if kind == INT:
        return struct.pack("<q", value)
    if kind == FLOAT:
        return struct.pack("<f", value)
    if kind == FLOATS:
        return struct.pack("<I%df" % len(value), len(value), *value)
    raw = value.encode() if kind == STRING else value
    return struct.pack("<I", len(raw)) + raw


def pack_header(phase, columns):
    out = b"CREMAROW" + struct.pack("<II", phase, len(columns))
    for name, kind in columns:
        out += struct.pack("<BH", kind, len(name.encode())) + name.encode()
    return out


def pack_stream(phase, columns, rows, block=100, end=True):
    """rows: (position, values...)."""
    out = [pack_header(phase, columns)]
    for first in range(0, len(rows), block):
        body = b"".join(struct.pack("<q", r[0]) + b"".join(pack_value(k, v) for (_, k), v in zip(columns, r[1:]))
                        for r in rows[first:first + block])
        out += [struct.pack("<I", len(body)), body]
    return b"".join(out) + (struct.pack("<I", 0) if end else b"")


def exactly(connection, n):
    data = b""
    while len(data) < n:
        more = connection.recv(n - len(data))
        if not more:
            raise EOFError("the engine's rows were cut off")
        data += more
    return data


def read_stream(connection):
    """What the engine sends back: column names and rows (position, values...)."""
    assert exactly(connection, 8) == b"CREMAROW"
    _, count = struct.unpack("<II", exactly(connection, 8))
    columns = []
    for _ in range(count):
        kind, length = struct.unpack("<BH", exactly(connection, 3))
        columns.append((exactly(connection, length).decode(), kind))
    rows = []
    while True:
        (size,) = struct.unpack("<I", exactly(connection, 4))
        if size == 0:
            return [name for name, _ in columns], rows
        block, at = exactly(connection, size), 0
        while at < size:
            row = list(struct.unpack_from("<q", block, at))
            at += 8
            for _, kind in columns:
                (n,) = struct.unpack_from("<I", block, at)
                at += 4
                if kind == FLOATS:
                    row.append(struct.unpack_from("<%df" % n, block, at))
                    at += 4 * n
                else:
                    row.append(block[at:at + n].decode())
                    at += n
            rows.append(tuple(row))


class Engine:
    """One process. Use as a context manager: it and its folder are gone afterwards."""

    def __init__(self, *command):
        self.folder = tempfile.mkdtemp(prefix="engine-")
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*command, "--dir=" + self.folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={k: os.environ[k] for k in ("PATH", "UBSAN_OPTIONS") if k in os.environ})
        self.events, self.seen, self.connections = queue.Queue(), [], []
        self.listening = threading.Event()
        self.listening.set()
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.event("hello")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for c in self.connections:
            c.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            pipe.close()
        subprocess.run(["rm", "-rf", self.folder, os.path.dirname(self.hello["rows"])], check=True)

    def _read(self):
        for line in self.process.stdout:
            self.listening.wait()
            event = json.loads(line)
            self.seen.append(event)
            self.events.put(event)
        self.events.put(None)

    def event(self, name, seconds=60):
        """The next event of this name; others are passed over. Fails when the engine does, or has ended."""
        until = time.monotonic() + seconds
        while True:
            event = self.events.get(timeout=max(0.01, until - time.monotonic()))
            if event is None:
                raise AssertionError("no %s: the engine has ended with %s: %s" % (name, self.process.wait(), self.log()))
            if event["event"] == name:
                return event
            if event["event"] == "fail":
                raise AssertionError("no %s: %s" % (name, event["why"]))

    def all(self, name):
        return [e for e in self.seen if e["event"] == name]

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def job(self, **fields):
        self.tell("job " + text_format(**fields))

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        connection.connect(self.hello["rows"])
        self.connections.append(connection)
        return connection

    def send(self, stream):
        """A whole stream; the engine may refuse it while it is written."""
        connection = self.connect()
        try:
            connection.sendall(stream)
        except BrokenPipeError:
            pass
        return connection

    def end(self, seconds=60):
        """Waits for the end; returns the exit code, negative for a signal. An engine that ended by itself leaves no socket."""
        code = self.process.wait(seconds)
        assert code < 0 or not os.path.exists(os.path.dirname(self.hello["rows"])), "the row socket stayed"
        while self.events.get(timeout=10) is not None:
            pass
        return code


def form_world(engines, secret="a secret of many characters", **more):
    address = "127.0.0.1:" + engines[0].hello["port"]
    for e in engines:
        e.tell("world " + text_format(address=address, secret=secret, **more))


def dealt(rows, block, first, ranks, ranks_here, engine):
    """The rows (position first) that belong to an engine."""
    def rank(p):
        return 0 if block == 0 else first + p // block % (ranks - first)
    return [r for r in rows if rank(r[0]) // ranks_here == engine]


def fashion(folder, part, count):
    """The first `count` images and labels of Fashion-MNIST's part ("train", "t10k"), as (pixels, label)."""
    with gzip.open("%s/%s-images-idx3-ubyte.gz" % (folder, part)) as f:
        f.read(16)
        images = [f.read(784) for _ in range(count)]
    with gzip.open("%s/%s-labels-idx1-ubyte.gz" % (folder, part)) as f:
        f.read(8)
        labels = f.read(count)
    return list(zip(images, labels))


def write_idx(path, samples):
    with open(path, "wb") as f:
        f.write(struct.pack(">4I", 2051, len(samples), 28, 28) + b"".join(image for image, _ in samples))
    with open(path.replace("images-idx3", "labels-idx1"), "wb") as f:
        f.write(struct.pack(">2I", 2049, len(samples)) + bytes(label for _, label in samples))

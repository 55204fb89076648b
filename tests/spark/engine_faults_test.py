# SPDX-License-Identifier: Apache-2.0
"""What crema_executor refuses, and how it ends when others fail; without Spark.

    engine_faults_test.py CREMA_EXECUTOR CREMA
"""
import os
import signal
import time
import unittest

from engine import BYTES, FLOAT, INT, STRING, TRAIN, dealt, form_world, pack_stream
from engine_case import COLUMNS, EXECUTOR, IMAGES, Case, main, solver


class Refused(Case):
    """Bad input: one sentence, before any world."""

    def refuse(self, why, kind, columns=COLUMNS, rows=None, stream=None, code=1, command=(EXECUTOR,), **job):
        engine, = self.start(command=command)
        rows = self.rows(self.train[:40]) if rows is None else rows
        engine.job(**{**dict(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"),
                             stream=dict(phase="TRAIN", rows=len(rows), total=len(rows))), **job})
        engine.send(pack_stream(TRAIN, columns, rows) if stream is None else stream)
        self.assertEqual(engine.end(), code, engine.log())
        fail, = engine.all("fail")
        self.assertEqual(fail["kind"], kind)
        self.assertIn(why, fail["why"])
        self.assertEqual(engine.all("ready"), [])

    def test_rows(self):
        image = bytes(784)
        self.refuse("row 1, column 'data': 783 bytes are neither an image", "data",
                    rows=[(0, image, 1), (1, image[1:], 1)])
        self.refuse("there is no column 'label' in the rows; they have: data, kind", "spec",
                    columns=[("data", BYTES), ("kind", INT)])
        self.refuse("row 0, column 'label': no number", "data", columns=[("data", BYTES), ("label", STRING)],
                    rows=[(0, image, "cat")])
        self.refuse("row 3, column 'label': holds a number that is not finite", "data",
                    columns=[("data", BYTES), ("label", FLOAT)], rows=[(p, image, 0.0 if p != 3 else float("nan")) for p in range(5)])
        self.refuse("two rows have position 1", "data", rows=[(0, image, 1), (1, image, 1), (1, image, 1)])
        self.refuse("is not engine 0's: it belongs to rank 1", "data", size=2)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small disk, for root alone")
    def test_a_full_disk(self):
        """Of the folder for rows, seen by this engine alone; it is gone with it."""
        small = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=16k tmpfs "${1#--dir=}" && exec "$0" "$1"', EXECUTOR)
        self.refuse("rows cannot be spooled after", "data", command=small)
        self.assertIn("No space left on device: make room on that disk", self.engines[0].all("fail")[0]["why"])

    def test_counts(self):
        engine, = self.start()
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"),
                   stream=dict(phase="TRAIN", rows=41, total=41))
        engine.send(pack_stream(TRAIN, COLUMNS, self.rows(self.train[:40])))
        self.assertEqual(engine.end(), 1)
        self.assertIn("40 rows came for phase TRAIN, 41 were announced", engine.all("fail")[0]["why"])

    def test_streams(self):
        self.refuse("does not begin with CREMAROW", "data", stream=b"GET / HTTP/1.1\r\n\r\n" + bytes(50))
        self.refuse("a column of type 9", "data", stream=pack_stream(TRAIN, [("data", 9)], []))
        self.refuse("ends within column label of a row", "data",
                    stream=pack_stream(TRAIN, COLUMNS, [])[:-4] + b"\x10\0\0\0" + bytes(8) + b"\x00\0\0\0" + bytes(4))

    def test_a_stream_that_is_cut(self):
        engine, = self.start()
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"),
                   stream=dict(phase="TRAIN", rows=40, total=40))
        connection = engine.send(pack_stream(TRAIN, COLUMNS, self.rows(self.train[:40]), end=False))
        connection.close()
        self.assertEqual(engine.end(), 10)
        self.assertIn("cut off", engine.all("fail")[0]["why"])

    def test_rows_that_are_wrong_while_others_are_awaited(self):
        """The host is stopped in its first stream: it never comes to the second."""
        engine, = self.start()
        rows = [(p, bytes(784), float("nan") if p == 3 else 0.0) for p in range(8000)]
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"),
                   stream=[dict(phase="TRAIN", rows=len(rows), total=len(rows)), dict(phase="TEST", rows=1, total=1)])
        engine.send(pack_stream(TRAIN, [("data", BYTES), ("label", FLOAT)], rows))
        self.assertEqual(engine.end(10), 1)
        self.assertIn("row 3, column 'label'", engine.all("fail")[0]["why"])

    def test_what_never_comes(self):
        engine, = self.start()
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"), timeout=1,
                   stream=dict(phase="TRAIN", rows=1, total=1))
        self.assertEqual(engine.end(10), 10)
        self.assertIn("1 streams of rows did not begin within 1 s", engine.all("fail")[0]["why"])
        engines = self.start(2)
        self.launch(engines, test=False, timeout=1)
        self.assertEqual([e.end(10) for e in engines], [1, 1])
        self.assertIn("no line 'world' within 1 s", engines[0].all("fail")[0]["why"])

    def test_without_an_address_nobody_else_reaches_it(self):
        engine, = self.start()
        with open("/proc/net/tcp") as f:
            listening = {line.split()[1] for line in f if line.split()[3] == "0A"}
        self.assertIn("0100007F:%04X" % int(engine.hello["port"]), listening)

    def test_layers(self):
        top = 'top { name: "data" type: FLOAT_ARRAY channels: 10 sample_num_axes: 1 transpose: true }'
        self.write("transposed.prototxt", 'layer { name: "data" type: "CoSData" top: "data" cos_data_param { batch_size: 20 %s } }' % top)
        self.refuse("transpose is not supported", "spec", net=self.path("transposed.prototxt"))

    def test_orders(self):
        self.refuse("cannot be opened", "data", solver="nowhere.prototxt")
        for line, why in (("job mode: TRAIN sovler: \"x\"", "sovler"), ("go", "expected a line 'job ...', got 'go'"),
                          ("job mode: TRAIN rank: 3 size: 2", "engine 3 of 2")):
            engine, = self.start()
            engine.tell(line)
            self.assertEqual(engine.end(), 1)
            self.assertIn(why, engine.all("fail")[0]["why"])


class Faults(Case):
    def endless(self, count=2, **more):
        self.write("endless.prototxt", solver("rows.prototxt", max_iter=10 ** 6))
        engines = self.start(count)
        self.launch(engines, solver="endless.prototxt", test=False, **more)
        form_world(engines)
        while engines[0].event("step")["iteration"] < 20:
            pass
        return engines

    def gone_within(self, seconds, engine):
        start = time.monotonic()
        code = engine.end(seconds)
        return code, time.monotonic() - start

    def test_a_killed_peer(self):
        engines = self.endless()
        engines[1].process.kill()
        code, _ = self.gone_within(5, engines[0])
        self.assertEqual(code, 3)
        fail, = engines[0].all("fail")
        self.assertTrue(fail["witness"])
        self.assertIn("rank 1", fail["why"])

    def test_a_killed_first_engine(self):
        engines = self.endless()
        engines[0].process.kill()
        self.assertEqual(self.gone_within(5, engines[1])[0], 3)
        self.assertIn("rank 0", engines[1].all("fail")[0]["why"])

    def test_a_stopped_peer(self):
        engines = self.endless()
        engines[1].process.send_signal(signal.SIGSTOP)
        code, seconds = self.gone_within(10, engines[0])
        self.assertEqual(code, 3)
        self.assertIn("rank 1", engines[0].all("fail")[0]["why"])
        self.assertLess(seconds, 8)  # silence is 2 s

    def test_the_host_is_gone(self):
        engines = self.endless()
        folders = [e.folder for e in engines]
        for e in engines:
            e.process.stdin.close()
        self.assertEqual([e.end(5) for e in engines], [8, 8])
        self.assertFalse(any(os.path.exists(f) for f in folders))

    def test_the_host_is_gone_at_the_start(self):
        engine, = self.start()
        sockets = os.path.dirname(engine.hello["rows"])
        engine.process.stdin.close()
        self.assertEqual(engine.end(5), 8)
        self.assertFalse(os.path.exists(sockets))
        self.assertFalse(os.path.exists(engine.folder))

    def test_the_host_is_stopped(self):
        """It said `alive`, and says nothing any more; nor does it read what the engine says, until its pipe is full."""
        first, other = self.endless()
        before = len(first.all("alive"))
        for _ in range(12):
            first.tell("alive")
            time.sleep(0.25)
        self.assertLessEqual(abs(len(first.all("alive")) - before - 12), 2)  # in answer
        first.listening.clear()
        start = time.monotonic()
        self.assertEqual(other.end(20), 3)
        self.assertIn("rank 0: its host has said nothing for 2 s", other.all("fail")[0]["why"])
        self.assertEqual(first.process.wait(5), 8)
        self.assertGreater(time.monotonic() - start, 1.5)
        self.assertFalse(os.path.exists(first.folder))
        first.listening.set()
        first.end()

    def test_the_host_is_stopped_and_a_peer_is_lost(self):
        """A witness too leaves no folder to a host that cannot remove it."""
        for lives in (False, True):
            first, other = self.endless()
            first.tell("alive")
            other.process.kill()
            time.sleep(1)
            if lives:
                first.tell("alive")
            self.assertEqual(first.end(10), 3 if lives else 8)
            self.assertIn("rank 1 was lost", first.all("fail")[0]["why"])
            self.assertEqual(os.path.exists(first.folder), lives)

    def test_a_wrong_secret(self):
        engines = self.start(2)
        self.launch(engines, test=False)
        form_world(engines[:1])
        engines[1].tell("world address: \"127.0.0.1:%s\" secret: \"another secret of many characters\"" % engines[0].hello["port"])
        self.assertEqual({e.end(20) for e in engines}, {4})

    def test_a_peer_that_never_comes(self):
        engines = self.start(2)
        self.launch(engines, test=False)
        form_world(engines[:1])
        code, seconds = self.gone_within(15, engines[0])
        self.assertEqual(code, 4)
        self.assertIn("rank 1", engines[0].all("fail")[0]["why"])
        self.assertLess(seconds, 12)  # the deadline is 8 s

    def test_another_net(self):
        with open(self.path("rows.prototxt")) as f:
            self.write("other.prototxt", f.read().replace("num_output: 4", "num_output: 5"))
        engines = self.start(2)
        for k, e in enumerate(engines):
            mine = dealt(self.rows(self.train), 1, 0, 2, 1, k)
            e.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("other.prototxt" if k else "rows.prototxt"),
                  rank=k, size=2, stream=dict(phase="TRAIN", rows=len(mine), total=IMAGES))
            e.send(pack_stream(TRAIN, COLUMNS, mine))
            e.event("ready")
        form_world(engines)
        # Both find it out. Who is later may hear it from the other first: rank 0 then of a peer, rank 1 of itself.
        codes = [e.end(20) for e in engines]
        self.assertIn(codes, ([1, 1], [1, 3], [3, 1]))
        for e in engines:
            self.assertIn("another net", e.all("fail")[0]["why"])
        self.assertIn("spec", [e.all("fail")[0]["kind"] for e, code in zip(engines, codes) if code == 1])


if __name__ == "__main__":
    main()

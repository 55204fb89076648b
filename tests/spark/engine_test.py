# SPDX-License-Identifier: Apache-2.0
"""crema_executor without Spark: processes started by hand, against `crema train` and `crema test` on the same samples.

    engine_test.py CREMA_EXECUTOR CREMA
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from engine import (BYTES, FLOAT, FLOATS, INT, STRING, TEST, TRAIN, Engine, dealt, fashion, form_world, pack_stream,
                    read_stream, write_idx)

EXECUTOR, CREMA = map(os.path.abspath, sys.argv[1:3])
DATA = "/usr/share/datasets/fashion-mnist"
IMAGES, TESTS, BATCH, TEST_BATCH = 600, 230, 20, 50

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: %s }
  source_class: "com.yahoo.ml.caffe.ImageDataFrame" transform_param { scale: 0.00390625 }
  memory_data_param { source: "hdfs:///train" batch_size: %d channels: 1 height: 28 width: 28 share_in_parallel: false } }
"""
FILES = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: %s } transform_param { scale: 0.00390625 }
  data_param { source: "%s-images-idx3-ubyte" batch_size: %d } }
"""
COLUMNS = [("data", BYTES), ("label", INT)]


def solver(net, **more):
    fields = dict(base_lr=0.05, momentum=0.9, lr_policy='"fixed"', max_iter=36, test_iter=5, test_interval=12, display=0,
                  snapshot=0, snapshot_prefix='"net"', random_seed=7, test_initialization="false")
    fields.update(more)
    return 'net: "%s"\n' % net + "\n".join("%s: %s" % f for f in fields.items())


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="engine-test-")
        cls.train = fashion(DATA, "train", IMAGES)
        cls.test = fashion(DATA, "t10k", TESTS)
        write_idx(cls.path("train-images-idx3-ubyte"), cls.train)
        write_idx(cls.path("test-images-idx3-ubyte"), cls.test)
        cls.write("files.prototxt", FILES % ("TRAIN", "train", BATCH) + FILES % ("TEST", "test", TEST_BATCH) + LAYERS)
        cls.write("rows.prototxt", MEMORY % ("TRAIN", BATCH) + MEMORY % ("TEST", TEST_BATCH) + LAYERS)
        cls.write("files_solver.prototxt", solver(cls.path("files.prototxt")))
        cls.write("solver.prototxt", solver("elsewhere/rows.prototxt"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w") as f:
            f.write(text)
        return cls.path(name)

    def setUp(self):
        self.engines = []

    def tearDown(self):
        for e in self.engines:
            e.__exit__()

    def start(self, count=1):
        new = [Engine(EXECUTOR) for _ in range(count)]
        self.engines += new
        return new

    def rows(self, samples):
        return [(p, image, label) for p, (image, label) in enumerate(samples)]

    def launch(self, engines, solver="solver.prototxt", net="rows.prototxt", test=True, ranks_here=1, files=False, **more):
        """A TRAIN job in all engines, with their rows, up to `ready`."""
        served = more.get("strategy") in ("downpour", "bounded_delay")
        ranks = len(engines) * ranks_here
        for k, e in enumerate(engines):
            mine = dealt(self.rows(self.train), 1, int(served), ranks, ranks_here, k)
            own_tests = dealt(self.rows(self.test), 0 if served else TEST_BATCH, 0, ranks, ranks_here, k)
            streams = [] if files else [dict(phase="TRAIN", rows=len(mine), total=IMAGES)]
            if test and not files:
                streams.append(dict(phase="TEST", rows=len(own_tests), total=TESTS))
            e.job(**{**dict(mode="TRAIN", solver=self.path(solver), net=self.path(net), rank=k, size=len(engines),
                            ranks_here=ranks_here, threads=1, silence=2, deadline=8, progress=0, stream=streams), **more})
            if not files:
                e.send(pack_stream(TRAIN, COLUMNS, mine[::-1]))
                if test:
                    e.send(pack_stream(TEST, COLUMNS, own_tests))
        return [e.event("ready") for e in engines]

    def finish(self, engines):
        done = [e.event("done") for e in engines]
        self.assertEqual([e.end() for e in engines], [0] * len(engines))
        return done

    def alone(self, *flags, solver="files_solver.prototxt"):
        """The same training by the program: the bytes of its weights, and its log."""
        out = subprocess.run([CREMA, "train", "--solver=" + self.path(solver), "--threads=1",
                              "--save=" + self.path("alone.caffemodel"), *flags], capture_output=True, text=True,
                             cwd=self.folder.name)
        self.assertEqual(out.returncode, 0, out.stderr)
        with open(self.path("alone.caffemodel"), "rb") as f:
            return f.read(), out.stderr

    def assertSameWeights(self, done, weights):
        """Layers that hold weights come last in both files and have the same names."""
        with open(done["model"], "rb") as f:
            mine = f.read()
        start = weights.index(b"\x0a\x04conv")
        self.assertEqual(mine[mine.index(b"\x0a\x04conv"):], weights[start:])


class Training(Case):
    def test_rows_give_the_bits_that_files_give(self):
        weights, log = self.alone()
        engines = self.start()
        ready = self.launch(engines)
        self.assertEqual((ready[0]["rows"], ready[0]["test_rows"]), (IMAGES, TESTS))
        done = self.finish(engines)
        self.assertEqual(done[0]["iteration"], 36)
        self.assertSameWeights(done[0], weights)
        tests = engines[0].all("test")
        self.assertEqual([t["iteration"] for t in tests], [12, 24, 36])
        accuracy = tests[-1]["outputs"][0]
        self.assertEqual(accuracy["name"], "accuracy")
        self.assertIn("accuracy = %g" % accuracy["value"], log)
        steps = engines[0].all("step")
        self.assertEqual([s["iteration"] for s in steps], list(range(1, 37)))
        self.assertEqual(sorted(os.listdir(engines[0].folder)), ["final.caffemodel", "snapshots"])
        self.assertFalse(os.path.exists(os.path.dirname(engines[0].hello["rows"])))

    def test_two_engines_are_two_ranks(self):
        weights, log = self.alone("--ranks=2")
        engines = self.start(2)
        self.launch(engines)
        form_world(engines)
        done = self.finish(engines)
        self.assertSameWeights(done[0], weights)
        self.assertNotIn("model", done[1])
        accuracy = engines[0].all("test")[-1]["outputs"][0]["value"]
        self.assertIn("accuracy = %g" % accuracy, log)  # 230 samples, dealt in batches, each once

    def test_two_engines_of_two_ranks(self):
        _, log = self.alone("--ranks=4")
        engines = self.start(2)
        self.launch(engines, ranks_here=2)
        form_world(engines)
        self.finish(engines)
        start = engines[0].all("start")[0]
        self.assertEqual(start["samples_per_iteration"], 4 * BATCH)
        last = engines[0].all("test")[-1]["outputs"]
        alone = float(log.split("loss = ")[-1].split()[0])
        self.assertAlmostEqual(last[1]["value"], alone, delta=1e-3 * alone)  # sums in another order

    def test_engines_that_read_files(self):
        weights, _ = self.alone("--ranks=2")
        engines = self.start(2)
        self.launch(engines, solver="files_solver.prototxt", net="files.prototxt", files=True)
        form_world(engines)
        self.assertSameWeights(self.finish(engines)[0], weights)

    def test_a_parameter_server(self):
        for strategy in ("downpour", "bounded_delay"):
            engines = self.start(3)
            ready = self.launch(engines, strategy=strategy)
            self.assertEqual([r["rows"] for r in ready], [0, IMAGES // 2, IMAGES // 2])
            self.assertEqual([r["test_rows"] for r in ready], [TESTS, 0, 0])
            form_world(engines)
            self.finish(engines)
            self.assertGreater(engines[0].all("test")[-1]["outputs"][0]["value"], 0.3)

    def test_without_rows_for_the_test_net_nothing_is_tested(self):
        engines = self.start()
        self.launch(engines, test=False)
        self.finish(engines)
        self.assertEqual(engines[0].all("test"), [])

    def test_stop_and_resume_give_the_same_bits(self):
        self.write("long.prototxt", solver("rows.prototxt", max_iter=2000, snapshot=1000))
        whole = self.start(2)
        self.launch(whole, solver="long.prototxt", test=False)
        form_world(whole)
        weights = self.finish(whole)[0]["weights"]
        first = self.start(2)
        self.launch(first, solver="long.prototxt", test=False)
        form_world(first)
        while first[0].event("step")["iteration"] < 50:
            pass
        first[0].tell("stop")
        snapshot = first[0].event("snapshot")
        done = first[0].event("done")
        self.assertEqual(done["ending"], "stopped")
        self.assertLess(done["iteration"], 2000)
        self.assertEqual(os.path.basename(snapshot["state"]), "net_iter_%d.solverstate" % done["iteration"])
        second = self.start(2)
        self.launch(second, solver="long.prototxt", test=False, state=snapshot["state"])
        form_world(second)
        self.assertEqual(self.finish(second)[0]["weights"], weights)

    def test_cos_data(self):
        """One column per top: an image, a list of numbers beside it, and the label as text."""
        def top(name, **fields):
            return 'top { name: "%s" %s }' % (name, " ".join("%s: %s" % f for f in fields.items()))
        net = """
layer { name: "data" type: "CoSData" top: "data" top: "extra" top: "label" source_class: "com.yahoo.ml.caffe.DataFrameSource"
  cos_data_param { source: "x" batch_size: 20 %s %s %s } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "extra" top: "b" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss" }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss2" }
""" % (top("image", type="RAW_IMAGE", channels=1, height=28, width=28, transform_param="{ scale: 0.00390625 }"),
       top("extra", type="FLOAT_ARRAY", channels=10, sample_num_axes=1), top("label", type="INT", channels=1, sample_num_axes=0))
        self.write("cos.prototxt", net)
        self.write("cos_solver.prototxt", solver("cos.prototxt", test_iter=0, test_interval=0, max_iter=60).replace("test_iter: 0\n", ""))
        engine, = self.start()
        columns = [("label", STRING), ("extra", FLOATS), ("image", BYTES)]
        rows = [(p, str(y), [float(k == y) for k in range(10)], x) for p, (x, y) in enumerate(self.train)]
        engine.job(mode="TRAIN", solver=self.path("cos_solver.prototxt"), net=self.path("cos.prototxt"), progress=0,
                   stream=dict(phase="TRAIN", rows=IMAGES, total=IMAGES))
        engine.send(pack_stream(TRAIN, columns, rows))
        self.finish([engine])
        steps = engine.all("step")
        easy = [next(o["value"] for o in s["outputs"] if o["name"] == "loss2") for s in steps]
        self.assertLess(easy[-1], 0.5 * easy[0])  # the label itself is among the numbers

    def test_plan(self):
        engine, = self.start()
        engine.job(mode="PLAN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"), size=2)
        plan = engine.event("plan")
        self.assertEqual(engine.end(), 0)
        self.assertEqual((plan["max_iter"], plan["test_iter"], plan["batch"]), (36, [5], BATCH))
        self.assertEqual(plan["parameters"], 4 * 25 + 4 + 10 * 4 * 144 + 10)
        self.assertEqual(plan["outputs"], {"train": ["loss"], "test": ["accuracy", "loss"]})
        train, test = plan["sources"]
        self.assertEqual((train["source_class"], train["source"], train["streamed"], train["block"]),
                         ("com.yahoo.ml.caffe.ImageDataFrame", "hdfs:///train", True, 1))
        self.assertEqual((test["phase"], test["block"], test["first"]), ("TEST", TEST_BATCH, 0))
        self.assertEqual([c["name"] for c in train["columns"]], ["data", "label"])
        self.assertIn("ip", plan["blobs"])


class Scoring(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weights = cls.path("weights.caffemodel")
        subprocess.run([CREMA, "train", "--solver=" + cls.path("files_solver.prototxt"), "--save=" + cls.weights],
                       check=True, capture_output=True, cwd=cls.folder.name)
        out = subprocess.run([CREMA, "test", "--model=" + cls.path("files.prototxt"), "--weights=" + cls.weights,
                              "--iterations=0"], check=True, capture_output=True, text=True, cwd=cls.folder.name)
        cls.accuracy = float(out.stderr.split("accuracy = ")[-1].split()[0])

    def job(self, mode, rows, columns, k=0, size=1, net="rows.prototxt", **more):
        engine, = self.start()
        engine.job(mode=mode, solver=self.path("solver.prototxt"), net=self.path(net), weights=self.weights, rank=k, size=size,
                   stream=dict(phase="TEST", rows=len(rows), total=len(rows)), **more)
        connection = engine.send(pack_stream(TEST, columns, rows))
        return engine, connection

    def test_scores_add_up_over_engines(self):
        total = weight = 0
        for part in (slice(0, 90), slice(90, None)):  # no multiples of the batch
            engine, _ = self.job("TEST", self.rows(self.test)[part], COLUMNS)
            accuracy = engine.event("test")["outputs"][0]
            total, weight = total + accuracy["sum"], weight + accuracy["weight"]
            self.assertEqual(engine.end(), 0)
        self.assertEqual(weight, TESTS)
        self.assertAlmostEqual(total / weight, self.accuracy, places=5)

    def test_features_come_back_for_every_row(self):
        rows = [(p, x, float(y), "picture %d" % p) for p, x, y in self.rows(self.test)]
        engine, connection = self.job("FEATURES", rows, [("data", BYTES), ("label", FLOAT), ("id", STRING)],
                                      feature=["ip", "accuracy"])
        names, back = read_stream(connection)
        engine.event("done")
        self.assertEqual(engine.end(), 0)
        self.assertEqual(names, ["SampleID", "ip", "accuracy"])
        self.assertEqual([r[1] for r in back], ["picture %d" % p for p in range(TESTS)])
        right = sum(max(range(10), key=lambda k: r[2][k]) == y for r, (_, y) in zip(back, self.test))
        self.assertAlmostEqual(right / TESTS, self.accuracy, places=5)
        self.by_rows = back

    def test_features_of_files_in_parts(self):
        back = []
        for k in range(3):
            engine, connection = self.job("FEATURES", [], COLUMNS, k, 3, "files.prototxt", feature="ip")
            back += read_stream(connection)[1]
            self.assertEqual(engine.end(), 0)
        self.assertEqual([r[1] for r in back], ["%08d" % p for p in range(TESTS)])
        right = sum(max(range(10), key=lambda k: r[2][k]) == y for r, (_, y) in zip(back, self.test))
        self.assertAlmostEqual(right / TESTS, self.accuracy, places=5)


class Refused(Case):
    """Bad input: one sentence, before any world."""

    def refuse(self, why, kind, columns=COLUMNS, rows=None, stream=None, code=1, **job):
        engine, = self.start()
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
        self.assertEqual([e.end(20) for e in engines], [1, 1])
        self.assertIn("another net", engines[0].all("fail")[0]["why"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"] + sys.argv[3:])

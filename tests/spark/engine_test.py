# SPDX-License-Identifier: Apache-2.0
"""crema_executor without Spark: processes started by hand, against `crema train` and `crema test` on the same samples.

    engine_test.py CREMA_EXECUTOR CREMA
"""
import contextlib
import os
import subprocess
import threading
import time

from engine import BYTES, FLOAT, FLOATS, STRING, TRAIN, TEST, form_world, pack_stream, read_stream
from engine_case import BATCH, COLUMNS, CREMA, FILES, IMAGES, LAYERS, MEMORY, TEST_BATCH, TESTS, Case, main, solver


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

    def test_engines_of_different_threads(self):
        weights, _ = self.alone("--ranks=2")
        engines = self.start(2)
        self.launch(engines, threads=[2, 1])
        form_world(engines)
        self.assertSameWeights(self.finish(engines)[0], weights)

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

    def test_rows_that_take_long_do_not_cost_those_behind_them_their_time(self):
        """The second stream begins when the first has ended, as Spark's tasks do it."""
        engine, = self.start()
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("rows.prototxt"), threads=1, timeout=2,
                   stream=[dict(phase="TRAIN", rows=IMAGES, total=IMAGES), dict(phase="TEST", rows=TESTS, total=TESTS)])
        stream = pack_stream(TRAIN, COLUMNS, self.rows(self.train))
        connection = engine.connect()
        for part in range(4):
            time.sleep(1)
            connection.sendall(stream[part * len(stream) // 4:(part + 1) * len(stream) // 4])
        engine.send(pack_stream(TEST, COLUMNS, self.rows(self.test)))
        self.finish([engine])

    def test_an_engine_waits_for_a_slower_one_as_long_as_its_host_lives(self):
        engines = self.start(2)
        self.launch(engines, test=False, timeout=1)
        for _ in range(10):
            for e in engines:
                e.tell("alive")
            time.sleep(0.25)
        form_world(engines)
        hosts = threading.Event()
        def live():
            while not hosts.wait(0.25):
                for e in engines:
                    with contextlib.suppress(OSError):
                        e.tell("alive")
        thread = threading.Thread(target=live)
        thread.start()
        self.finish(engines)
        hosts.set()
        thread.join()

    def test_without_rows_for_the_test_net_nothing_is_tested(self):
        engines = self.start()
        self.launch(engines, test=False)
        self.finish(engines)
        self.assertEqual(engines[0].all("test"), [])

    def test_no_validation_as_in_caffe_on_spark(self):
        """test_iter: 0, test_interval: 0, with one net for both phases and with a net of its own for tests."""
        for name, test_net in (("generic", ""), ("own", 'train_net: "%s" test_net: "%s"' % ((self.path("files.prototxt"),) * 2))):
            text = solver(self.path("files.prototxt"), test_iter=0, test_interval=0)
            self.write(name + ".prototxt", text if not test_net else test_net + text[text.index("\n"):])
            engine, = self.start()
            engine.job(mode="TRAIN", solver=self.path(name + ".prototxt"), threads=1)
            self.finish([engine])
            self.assertEqual(engine.all("test"), [])
            engine, = self.start()
            engine.job(mode="TEST", solver=self.path(name + ".prototxt"), weights=self.engines[-2].folder + "/final.caffemodel", threads=1)
            self.assertEqual(engine.event("test")["outputs"][0]["weight"], TESTS)
            self.finish([engine])

    def stages(self, second):
        """Two test nets, each with a data layer of its own: the first of TEST_BATCH rows, the second of `second`."""
        staged = [(MEMORY % ("TEST", batch)).replace("phase: TEST", 'phase: TEST stage: "%s"' % stage)
                  for batch, stage in ((second, "b"), (TEST_BATCH, "a"))]
        self.write("stages.prototxt", MEMORY % ("TRAIN", BATCH) + "".join(staged) + LAYERS)
        text = solver("stages.prototxt", test_state='{ stage: "a" }').replace("test_iter: 5", "test_iter: 5 test_iter: 5")
        self.write("stages_solver.prototxt", text + '\ntest_state: { stage: "b" }')
        return dict(solver="stages_solver.prototxt", net="stages.prototxt")

    def test_rows_are_dealt_as_the_first_test_net_takes_them(self):
        engines = self.start(2)
        self.launch(engines, **self.stages(TEST_BATCH))
        form_world(engines)
        self.finish(engines)
        self.assertEqual([t["net"] for t in engines[0].all("test")], [0, 1] * 3)
        engine, = self.start()
        engine.job(mode="PLAN", solver=self.path("stages_solver.prototxt"), net=self.path("stages.prototxt"), size=2)
        self.assertEqual([s["batch"] for s in engine.event("plan")["sources"]], [BATCH, TEST_BATCH])
        engines = self.start(2)
        with self.assertRaisesRegex(AssertionError, "test net 1 takes the host's rows in batches of 30, the first in batches of 50"):
            self.launch(engines, **self.stages(30))

    def trained(self, solver, **more):
        """Two engines to their end, without a test net: the engines, and rank 0's `done`."""
        engines = self.start(2)
        self.launch(engines, solver=solver, test=False, **more)
        form_world(engines)
        return engines, self.finish(engines)[0]

    def test_without_rows_for_the_test_net_files_are_trained_on(self):
        net = FILES % ("TRAIN", "train", BATCH) + MEMORY % ("TEST", TEST_BATCH) + LAYERS
        self.write("mixed.prototxt", net)
        engine, = self.start()
        engine.job(mode="TRAIN", solver=self.path("solver.prototxt"), net=self.path("mixed.prototxt"), threads=1)
        self.finish([engine])
        self.assertEqual(engine.all("test"), [])

    def test_resume_gives_the_same_bits(self):
        self.write("long.prototxt", solver("rows.prototxt", max_iter=400, snapshot=150))
        engines, whole = self.trained("long.prototxt")
        state = os.path.join(engines[0].folder, "snapshots", "net_iter_150.solverstate")
        engines, resumed = self.trained("long.prototxt", state=state)
        self.assertEqual(engines[0].all("start")[0]["iteration"], 150)
        self.assertEqual(resumed["weights"], whole["weights"])

    def test_stop_takes_a_snapshot_and_ends(self):
        self.write("endless.prototxt", solver("rows.prototxt", max_iter=10 ** 6))
        engines = self.start(2)
        self.launch(engines, solver="endless.prototxt", test=False)
        form_world(engines)
        while engines[0].event("step")["iteration"] < 50:
            pass
        engines[0].tell("stop")
        snapshot = engines[0].event("snapshot")
        done = self.finish(engines)[0]
        self.assertEqual(done["ending"], "stopped")
        self.assertLess(done["iteration"], 10 ** 6)
        self.assertEqual(os.path.basename(snapshot["state"]), "net_iter_%d.solverstate" % done["iteration"])
        # As if it had been asked for so many iterations.
        self.write("short.prototxt", solver("rows.prototxt", max_iter=done["iteration"]))
        self.assertEqual(self.trained("short.prototxt")[1]["weights"], done["weights"])

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


if __name__ == "__main__":
    main()

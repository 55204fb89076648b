#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Spark adapter on real executors: training, scoring, features, pipelines; all cases share one application.

    adapter_test.py ENGINE JAR [--master=local-cluster[2,1,1024]] [TEST ...]       with a python3 that has pyspark

ENGINE has the program `crema` beside it, which writes a database.
The data is small: images of 12 x 12 in four classes, a bright quarter and noise.
"""
import json, os, re, shutil, struct, sys, threading, time, unittest, urllib.request, zlib
from pathlib import Path

from adapter_case import *
from adapter_failures import Failures, script
from adapter_nets import Nets
from adapter_pipelines import Pipelines
from crema_spark import CremaError, options_help
from crema_spark.ml import CremaEstimator
from pyspark.sql import functions as F
from small_table import LAYER, NET, SCHEMA, write_data, write_lmdb, write_mean


def png(pixels):
    """12 x 12 grey pixels as a PNG. Here, so that it goes to executors by value."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    lines = b"".join(b"\0" + bytes(pixels[i:i + 12]) for i in range(0, 144, 12))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


class Training(unittest.TestCase):
    def shown_by_spark(self, accumulator, value):
        """In the tables of stages that Spark's UI shows, by its REST interface."""
        url = f"{spark.sparkContext.uiWebUrl}/api/v1/applications/{spark.sparkContext.applicationId}/stages"
        with urllib.request.urlopen(url, timeout=30) as answer:
            stages = json.load(answer)
        shown = [a["value"] for s in stages for a in s["accumulatorUpdates"] if a["name"] == accumulator]
        self.assertTrue(any(re.search(value, v) for v in shown), shown)

    def test_curve_scores_features(self):
        job = crema()
        curve = job.trainWithValidation()
        rows = curve.collect()
        self.assertEqual(curve.columns[0], "iteration")
        self.assertEqual([r.iteration for r in rows], [40, 80, 120])
        self.shown_by_spark("crema progress", r"^rank 0 done at iteration 120; rank 1 done$")
        self.shown_by_spark("crema validation", r'000000000120 \{.*"accuracy"')
        scores = job.test()
        self.assertGreater(scores["accuracy"], 0.95)
        self.assertEqual(scores, job.test(test))
        features = job.features(features="ip", label="label")
        self.assertEqual(features.columns, ["SampleID", "ip", "label"])
        found = {r.SampleID: r for r in features.collect()}
        self.assertEqual(len(found), TEST_ROWS)
        labels = {r.id: r.label for r in test.select("id", "label").collect()}
        right = sum(max(range(4), key=list(r.ip).__getitem__) == labels[k] for k, r in found.items())
        self.assertAlmostEqual(right / TEST_ROWS, scores["accuracy"], places=5)
        self.assertTrue(all(list(r.label) == [labels[k]] for k, r in found.items()))
        unlabelled = job.features(test.drop("label"), features="ip")
        self.assertEqual({r.SampleID: r.ip for r in unlabelled.collect()}, {k: r.ip for k, r in found.items()})
        nameless = job.features(test.select("data").repartition(3), features="ip")
        self.assertEqual(nameless.select("SampleID").distinct().count(), TEST_ROWS)

    def test_same_bits_as_frames_files_and_retries(self):
        """Two executors, given DataFrames; the same again, from the sources of the net; both the same bits."""
        crema("a").train(train)
        crema("b", persistent=True).train()
        a, b = ((folder / "out" / f"{n}.caffemodel").read_bytes() for n in "ab")
        self.assertEqual(a, b)

    def test_one_engine_two_replicas(self):
        crema("two", clusterSize=1, devices=2).train(train)
        crema("four").train(train)
        two, four = ((folder / "out" / f"{n}.caffemodel").read_bytes() for n in ("two", "four"))
        self.assertEqual(two, four)

    def test_files(self):
        job = crema("files", conf=solver("files", net="files_net.prototxt"), data_root=str(folder))
        job.train()
        self.assertGreater(job.test()["accuracy"], 0.95)
        features = job.features(features="ip")
        for frame in (features, features.coalesce(1)):  # a part for each engine, whoever reads it
            self.assertEqual(frame.select("SampleID").distinct().count(), 330)

    def test_files_that_executors_alone_have(self):
        """The driver knows no outputs of the test net; the curve has them."""
        there = set(spark.sparkContext.parallelize(range(2), 2).map(lambda _: os.getcwd()).collect())
        if Path.cwd() in map(Path, there):
            self.skipTest("the driver is an executor")
        for place in there:
            write_data(Path(place))
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "net.prototxt").write_text(NET)
        conf = Path(solver("elsewhere")).rename(folder / "elsewhere" / "solver.prototxt")
        curve = crema("elsewhere", conf=str(conf)).trainWithValidation()
        self.assertEqual((curve.columns, [r.iteration for r in curve.collect()]), (["iteration", "accuracy", "loss"], [40, 80, 120]))

    def test_strategies(self):
        """Each trains, and its options are in the order that its engine gets."""
        for strategy, options in (("local_sgd", {"tau": 4, "local_from": 20}), ("easgd", {"tau": 4, "alpha": 0.2}), ("eamsgd", {"tau": 3, "alpha": 0.3}),
                                  ("downpour", {"n_fetch": 2, "n_push": 3}), ("bounded_delay", {"delay": 2}), ("synchronous", {"bfloat16": True})):
            with self.subTest(strategy):
                job = crema(strategy, strategy=strategy, engine=script(strategy, """#!/bin/bash\nexec %(engine)s "$@" < <(tee -a %(folder)s/orders)\n"""), **options)
                job.trainWithValidation(train, test)
                self.assertGreater(job.test()["accuracy"], 0.8)
                orders = [line for line in (folder / strategy / "orders").read_text().splitlines() if "mode: TRAIN" in line]
                self.assertEqual(len(orders), 2)
                for name, value in {"strategy": f'"{strategy}"', **options}.items():
                    self.assertIn(f"{name}: {str(value).lower()}", orders[0])

    def test_stop(self):
        job = crema("early", conf=solver("early", 10 ** 7, 500, test_interval=10 ** 8))
        def stop():
            end = time.time() + 60
            while not any((folder / "out").glob("early*.solverstate")) and time.time() < end:
                time.sleep(0.02)
            job.stop()
        thread = threading.Thread(target=stop)
        thread.start()
        job.train(train)
        thread.join()
        there = {re.sub(r"\d+", "N", p.name) for p in (folder / "out").glob("early*")}
        self.assertEqual(there, {"early.caffemodel", "early_iter_N.caffemodel", "early_iter_N.solverstate"})

    def test_resume_and_finetune(self):
        whole = crema("whole", conf=solver("whole", 100, 50))
        whole.train(train)
        state = folder / "out" / "whole_iter_50.solverstate"
        crema("resumed", conf=solver("resumed", 100), snapshot=f"file:{state}").train(train)
        self.assertEqual(*((folder / "out" / f"{n}.caffemodel").read_bytes() for n in ("whole", "resumed")))
        (folder / "apart").mkdir()
        shutil.copy(state, folder / "apart")
        crema("apart", conf=solver("resumed", 100), snapshot=f"file:{folder}/apart/{state.name}", weights=f"file:{state.with_suffix('.caffemodel')}").train(train)
        self.assertEqual(*((folder / "out" / f"{n}.caffemodel").read_bytes() for n in ("whole", "apart")))
        (folder / "auto").mkdir()
        for file in (folder / "out").glob("whole_iter_*"):
            shutil.copy(file, folder / "auto")
        newest = bytearray((folder / "auto" / "whole_iter_100.caffemodel").read_bytes())
        newest[-1] ^= 1
        (folder / "auto" / "whole_iter_100.caffemodel").write_bytes(newest)  # and not what Hadoop keeps beside it
        crema("../auto/whole", conf=solver("whole", 100, 50), snapshot="auto", retries=0).train(train)
        self.assertEqual((folder / "auto" / "whole.caffemodel").read_bytes(), (folder / "out" / "whole.caffemodel").read_bytes())
        weights = [f"file:{folder}/out/{name}.caffemodel" for name in ("whole_iter_50", "whole")]  # the last counts
        crema("tuned", conf=solver("tuned", 1), weights=weights).train(train)
        self.assertGreater(crema("tuned").test()["accuracy"], 0.95)


class Sources(unittest.TestCase):
    """Each way in which rows come ends with the weights that raw rows give."""

    @classmethod
    def setUpClass(cls):
        crema("raw").train(train)
        cls.raw = (folder / "out" / "raw.caffemodel").read_bytes()

    def same(self, name, layer, rows=None, **options):
        net = (folder / "net.prototxt").read_text()
        (folder / f"{name}_net.prototxt").write_text(re.sub(r"layer \{ .*?\n.*?\n(?=layer \{ name: \"data\")", layer.replace("\\", "\\\\") + "\n", net, count=1))
        crema(name, conf=solver(name, net=f"{name}_net.prototxt"), **options).train(*[rows] if rows else [])
        self.assertEqual((folder / "out" / f"{name}.caffemodel").read_bytes(), self.raw)

    def layer(self, source, source_class="ImageDataFrame", more=""):
        return (LAYER % ("TRAIN", source, 16)).replace("ImageDataFrame", source_class).replace("width: 12", "width: 12 " + more).rstrip()

    def test_encoded(self):
        encode = F.udf(png, "binary")
        self.same("png", self.layer("", more="image_encoded: true"), train.withColumn("data", encode("data")))

    def test_numbers(self):
        numbers = F.udf(lambda pixels: [float(p) for p in pixels], "array<double>")
        self.same("numbers", self.layer(""), train.withColumn("data", numbers("data")).withColumn("label", F.col("label").cast("string")))

    def test_out_of_a_shuffle(self):
        job = crema("shuffled")
        job.train(train.orderBy(F.rand(1)).repartition(3))
        self.assertGreater(job.test(test.repartition(2))["accuracy"], 0.95)

    def test_columns_of_other_names(self):
        train.selectExpr("data as image", "label + 1 as class").write.format("orc").save(str(folder / "orc"))
        select = 'dataframe_format: "orc" dataframe_column_select: "image as data" dataframe_column_select: "class - 1 as label"'
        self.same("renamed", self.layer(f"file:{folder}/orc", more=select))

    def test_cos_data(self):
        layer = """layer { name: "data" type: "CoSData" top: "data" top: "label" include { phase: TRAIN } source_class: "com.yahoo.ml.caffe.DataFrameSource"
  cos_data_param { source: "file:%s" batch_size: 16 top { name: "data" type: RAW_IMAGE channels: 1 height: 12 width: 12 transform_param { scale: 0.00390625 } } top { name: "label" type: INT channels: 1 sample_num_axes: 0 } } }""" % (folder / "train")
        self.same("cos", layer)

    def test_lmdb(self):
        """Read by the engines, as CaffeOnSpark's source and as Caffe's layer."""
        write_lmdb(Path(engine).with_name("crema"), folder, [(r.data, r.label) for r in train.select("data", "label").collect()])
        self.same("lmdb", self.layer(f"file:{folder}/small_lmdb", "LMDB"))
        self.same("short", self.layer("small_lmdb", "LMDB").replace("com.yahoo.ml.caffe.", ""))
        self.same("backend", NET[NET.index("layer"):NET.index('layer { name: "data"', NET.index("layer") + 1)].rstrip()
                  .replace("small-images-idx3-ubyte", "small_lmdb").replace("batch_size: 16", "batch_size: 16 backend: LMDB"))

    def test_far_files(self):
        """Copied by Spark: a database; a list in the folder of its pictures, and a mean, which is zero."""
        far = folder / "far"
        far.mkdir()
        write_lmdb(Path(engine).with_name("crema"), far, [(r.data, r.label) for r in train.select("data", "label").collect()])
        (far / "list.txt").rename(far / "pictures" / "list.txt")
        write_mean(far / "mean.binaryproto")
        mean = 'mean_file: "viewfs://far/data/mean.binaryproto"'
        self.same("far_lmdb", self.layer("viewfs://far/data/small_lmdb", "LMDB"))
        self.same("far_mean", self.layer(f"file:{folder}/train").replace("scale:", mean + " scale:"))
        self.same("far_list", """layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN } transform_param { scale: 0.00390625 %s }
  image_data_param { source: "viewfs://far/data/pictures/list.txt" root_folder: "viewfs://far/data/pictures/" is_color: false batch_size: 16 } }""" % mean)
        with self.assertRaises(CremaError) as caught:
            self.same("far_none", self.layer("").replace("scale:", mean.replace("mean.", "no.") + " scale:"))
        self.assertIn("layer 'data' (TRAIN): there is no viewfs://far/data/no.binaryproto", str(caught.exception))

    def test_sequence_file(self):
        rows = train.select("id", "label", "data").collect()  # one file: the order in which a folder lists its files is its own
        for kind in ("scala.Tuple2", "com.yahoo.ml.dl.caffe.Pair"):
            name = kind.rpartition(".")[2]
            pairs = [(java_object(kind, r.id, str(r.label)), bytearray(png(r.data))) for r in rows]
            spark.sparkContext.parallelize(pairs, 1).saveAsSequenceFile(str(folder / name))
            self.same(name, self.layer(f"file:{folder}/{name}", "SeqImageDataSource", "image_encoded: true"))

    def test_colour(self):
        """Raw pixels are C,H,W, and H,W,C where columns, keys or RAW_IMAGE are CaffeOnSpark's."""
        net = (folder / "net.prototxt").read_text().replace("channels: 1", "channels: 3")
        pictures = [(r.id, (bytes(r.data), bytes(255 - p for p in r.data), bytes(p // 2 for p in r.data)), r.label) for r in train.collect()]
        def frame(pixels, more="", values=()):
            return spark.createDataFrame([(i, pixels(planes), label, *values) for i, planes, label in pictures], SCHEMA + more).coalesce(1)
        def mixed(planes):
            return bytearray(v for pixel in zip(*planes) for v in pixel)
        def model(name, layer, *rows):
            (folder / f"{name}_net.prototxt").write_text(re.sub(r"layer \{ .*?\n.*?\n(?=layer \{ name: \"data\")", layer + "\n", net, count=1))
            crema(name, conf=solver(name, 30, net=f"{name}_net.prototxt"), retries=0).train(*rows)
            return (folder / "out" / f"{name}.caffemodel").read_bytes()
        memory = self.layer("").replace("channels: 1", "channels: 3")
        planar = model("planar", memory, frame(lambda planes: bytearray(b"".join(planes))))
        extents = ", channels int, height int, width int, encoded boolean"
        self.assertEqual(model("columns", memory, frame(mixed, extents, (3, 12, 12, False))), planar)
        cos = """layer { name: "data" type: "CoSData" top: "data" top: "label" include { phase: TRAIN } source_class: "DataFrameSource" cos_data_param { batch_size: 16
  top { name: "data" type: RAW_IMAGE channels: 3 height: 12 width: 12 transform_param { scale: 0.00390625 } } top { name: "label" type: INT channels: 1 sample_num_axes: 0 } } }"""
        self.assertEqual(model("raw_image", cos, frame(mixed)), planar)
        pairs = [(java_object("scala.Tuple6", i, str(label), 3, 12, 12, False), mixed(planes)) for i, planes, label in pictures]
        spark.sparkContext.parallelize(pairs, 1).saveAsSequenceFile(str(folder / "tuples"))
        self.assertEqual(model("tuples", self.layer(f"file:{folder}/tuples", "SeqImageDataSource").replace("channels: 1", "channels: 3")), planar)
        with self.assertRaises(CremaError) as caught:
            model("small", memory, frame(mixed, extents, (3, 12, 11, False)))
        self.assertIn("layer 'data' takes images of 3 x 12 x 12, and a row has 432 bytes of one of 3 x 12 x 11", str(caught.exception))

    def test_transform_of_shuffled_rows(self):
        stage = CremaEstimator(conf=solver("shuffle"), model=f"file:{folder}/out/shuffle.caffemodel", features="ip", options={"clusterSize": 2, "threads": 1})
        out = stage.fit(train).transform(test.repartition(5)).select("label", "prediction")  # more parts than engines that train
        self.assertGreater(out.where("label = prediction").count() / TEST_ROWS, 0.95)


class Before(unittest.TestCase):
    """What is refused before anything trains, each with one sentence."""

    def refused(self, says, call, *arguments, **options):
        with self.assertRaises(CremaError) as caught:
            call(*arguments, **options)
        self.assertIn(says, str(caught.exception))

    def test_rows(self):
        job = crema(retries=0)
        self.refused("no column 'label'", job.train, train.drop("label"))
        self.refused("cast it", job.train, train.withColumn("data", F.lit("text")))
        self.refused("is null in row", job.train, train.withColumn("label", F.when(F.col("label") != 3, F.col("label"))))
        self.refused("too few for -clusterSize 2", job.train, train.limit(1))
        self.refused("has no rows", job.trainWithValidation, train, test.where("false"))
        self.refused("too few for -clusterSize 2", job.train, train.where("false"))
        self.refused("not finite", job.train, train.withColumn("label", F.when(F.col("label") != 3, F.col("label")).otherwise(F.lit(float("nan")))))
        self.refused("144", job.train, train.withColumn("data", F.substring("data", 1, 100)))

    def test_options(self):
        self.refused("no such option", crema(clusterSise=2).train)
        self.refused("infiniband", crema(connection="infiniband").train)
        for tool in ("imageRoot", "labelFile", "captionFile", "captionLength", "vocabSize", "imageCaptionDFDir", "vocabDir", "embeddingDFDir"):
            self.refused(f"-{tool}: an option of CaffeOnSpark's tools", crema(**{tool: "x"}).train)
        self.refused("-retries 99999999999: not a number from 0, or too great", crema(retries=99999999999).train)
        self.assertIn("-clusterSize", options_help(spark))
        self.refused("no such file", crema(conf="nowhere.prototxt").train)
        self.refused("has no such blob", crema().features, test, features="ip,nothing")
        self.refused("no such file", crema("never").test)
        self.refused("-clusterSize 9 needs", crema(clusterSize=9, slots_deadline=1).train)

    def test_keys_of_sequence_files(self):
        spark.sparkContext.parallelize([(java_object("java.util.Date"), bytearray(144))], 1).saveAsSequenceFile(str(folder / "keys"))
        (folder / "keys_net.prototxt").write_text((folder / "net.prototxt").read_text().replace("ImageDataFrame", "SeqImageDataSource").replace(f"file:{folder}/train", f"file:{folder}/keys"))
        self.refused("is no Scala tuple (id, label, ...) or Pair", crema(conf=solver("keys", net="keys_net.prototxt"), clusterSize=1).train)

    def test_settings_of_spark(self):
        conf = spark.sparkContext._jsc.sc().conf()
        for key, says in (("spark.speculation", "second copy of a slow task"), ("spark.dynamicAllocation.enabled", "takes executors away")):
            conf.set(key, "true")
            try:
                self.refused(says, crema().train, train)
                self.refused(says, crema().doctor)
            finally:
                conf.set(key, "false")

    def test_empty_partitions(self):
        """They are no mistake: rows have positions, whichever partition they come from."""
        crema("full").train(train.coalesce(1))
        crema("empty").train(train.coalesce(1).union(train.where("false")))
        self.assertEqual(*((folder / "out" / f"{n}.caffemodel").read_bytes() for n in ("full", "empty")))

    def test_plan_and_doctor(self):
        plan = crema().plan()
        if not master.startswith("local["):
            self.assertRegex(plan, r"(?m)^executors +2 on 127\.0\.0\.1$")
        for word in ("ranks", "epochs", "330 rows", "memoryOverhead", "disk"):
            self.assertIn(word, plan)
        report = crema().doctor()
        executors = 1 if master.startswith("local[") else 2
        self.assertEqual(len(report.strip().splitlines()), executors, report)
        self.assertEqual(report.count(": good"), executors, report)
        if master.startswith("local-cluster"):
            self.assertEqual(report.count("GPUs 7"), 2, report)


if __name__ == "__main__":
    try:
        unittest.main(argv=[sys.argv[0], "-v"] + [a for a in sys.argv[3:] if not a.startswith("--master=")])
    finally:
        end()

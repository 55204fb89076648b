# SPDX-License-Identifier: Apache-2.0
"""Stages of ML pipelines, from PySpark and from Java; of adapter_test.py."""
import unittest
from pathlib import Path

from adapter_case import *
from crema_spark._jvm import strings
from crema_spark.ml import CremaEstimator, CremaModel
from pyspark.ml import Pipeline, PipelineModel
from small_table import write_mean


class Pipelines(unittest.TestCase):
    def good(self, rows):
        self.assertEqual(rows.columns, ["id", "data", "label", "ip", "prediction"])
        self.assertGreater(rows.where("label = prediction").count() / TEST_ROWS, 0.95)

    def test_pipeline(self):
        """The solver's folder has the mean that the net names; the model finds it there."""
        (folder / "pipe").mkdir()
        (folder / "pipe" / "net.prototxt").write_text((folder / "net.prototxt").read_text().replace("scale:", 'mean_file: "mean.binaryproto" scale:'))
        write_mean(folder / "pipe" / "mean.binaryproto")
        conf = str(Path(solver("pipeline")).rename(folder / "pipe" / "solver.prototxt"))
        stage = CremaEstimator(conf=conf, model=f"file:{folder}/out/pipeline.caffemodel", features="ip", options=["-clusterSize", "2", "-threads", "1"])
        stage.write().overwrite().save(str(folder / "stage"))
        again = CremaEstimator.load(str(folder / "stage"))
        self.assertEqual(again.getOrDefault("features"), "ip")
        model = Pipeline(stages=[again]).fit(train)
        model.write().overwrite().save(str(folder / "pipeline"))
        (folder / "out" / "pipeline.caffemodel").unlink()  # the saved model has its own
        self.good(PipelineModel.load(str(folder / "pipeline")).transform(test))
        place = next((folder / "pipeline" / "stages").iterdir())
        with self.assertRaises(Exception) as caught:
            CremaModel.load(str(place)).write().overwrite().save(str(place))
        self.assertIn("holds the weights of this model", str(caught.exception))
        self.assertTrue((place / "weights.caffemodel").exists())

    def test_unfitted_pipeline(self):
        stage = CremaEstimator(conf=solver("unfitted"), model=f"file:{folder}/out/unfitted.caffemodel", features="ip", options={"clusterSize": 2, "threads": 1})
        Pipeline(stages=[stage]).save(str(folder / "unfitted"))
        again = Pipeline.load(str(folder / "unfitted"))
        self.assertEqual([type(s) for s in again.getStages()], [CremaEstimator])
        self.good(again.fit(train).transform(test))

    def test_java(self):
        spark._jvm.UsePipeline.main(strings(spark, [solver("java"), f"file:{folder}/out/java.caffemodel", *(str(folder / n) for n in ("train", "test", "java"))]))
        self.good(spark.read.parquet(str(folder / "java" / "rows")))

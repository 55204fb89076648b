# SPDX-License-Identifier: Apache-2.0
"""Training and scoring as stages of an ML pipeline.

    stage = CremaEstimator(conf="lenet_solver.prototxt", model="hdfs:///lenet.caffemodel", features="ip2", options={"clusterSize": 2})
    model = Pipeline(stages=[stage]).fit(train)
    model.transform(test).select("prediction")
"""
import sys

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import JavaMLReadable, JavaMLReader, JavaMLWritable
from pyspark.ml.wrapper import JavaEstimator, JavaModel
from pyspark.sql import SparkSession

from crema_spark._jvm import package, plain_errors
from crema_spark.on_spark import command_line

# A pipeline is loaded by the names of its Java classes, which PySpark takes for names of Python classes.
sys.modules.setdefault("crema.spark", sys.modules[__name__])


class _Reader(JavaMLReader):
    @classmethod
    def _java_loader_class(cls, clazz):
        return "crema.spark." + clazz.__name__


class _Stage(JavaMLReadable, JavaMLWritable):
    model = Param(Params._dummy(), "model", "URI of the .caffemodel, which all executors reach", TypeConverters.toString)
    features = Param(Params._dummy(), "features", "blobs of the test net that become columns, separated by commas", TypeConverters.toString)
    predictionCol = Param(Params._dummy(), "predictionCol", "the index of the greatest value of the first of the features", TypeConverters.toString)
    options = Param(Params._dummy(), "options", "more options of the command line, such as -clusterSize 2", TypeConverters.toListString)

    @classmethod
    def read(cls):
        return _Reader(cls)


class CremaEstimator(JavaEstimator, _Stage):
    conf = Param(Params._dummy(), "conf", "the solver's prototxt", TypeConverters.toString)

    @keyword_only
    def __init__(self, *, conf=None, model=None, features=None, predictionCol="prediction", options=None):
        """`options`: as the keywords of CremaOnSpark, {"clusterSize": 2}, or as words, ["-clusterSize", "2"]."""
        super().__init__()
        package(SparkSession.active())
        self._java_obj = self._new_java_obj("crema.spark.CremaEstimator", self.uid)
        self._setDefault(predictionCol="prediction")
        given = {name: value for name, value in self._input_kwargs.items() if value is not None}
        if isinstance(options, dict):
            given["options"] = command_line(options)
        self._set(**given)

    def _fit(self, dataset):
        with plain_errors():
            return super()._fit(dataset)

    def _create_model(self, java_model):
        return CremaModel(java_model)


class CremaModel(JavaModel, _Stage):
    """A trained net: adds a column for each of the features, and a prediction."""

    solver = Param(Params._dummy(), "solver", "the solver with its nets, as text", TypeConverters.toString)

    def _transform(self, dataset):
        with plain_errors():
            return super()._transform(dataset)

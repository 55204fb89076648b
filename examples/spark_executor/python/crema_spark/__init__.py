# SPDX-License-Identifier: Apache-2.0
"""Trains, tests and extracts features of Caffe's nets on a Spark cluster.

    spark = SparkSession.builder.config("spark.jars", "crema-spark.jar").config("spark.files", "crema_executor").getOrCreate()
    crema = CremaOnSpark(spark, conf="lenet_solver.prototxt", model="hdfs:///lenet.caffemodel", clusterSize=2)
    curve = crema.trainWithValidation()
    scores = crema.test()
    features = crema.features(features="ip1,ip2")

Keywords are the options of the command line (crema_spark.options_help(spark) lists them). All work is done by crema.spark.CremaOnSpark
in crema-spark.jar; this package is a door to it.
"""
from crema_spark._jvm import CremaError
from crema_spark.on_spark import CremaOnSpark, options_help

__all__ = ["CremaError", "CremaOnSpark", "options_help"]

# SPDX-License-Identifier: Apache-2.0
"""The way to the classes in crema-spark.jar."""
import contextlib

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JJavaError


class CremaError(RuntimeError):
    """What is wrong, in a sentence."""


def package(spark):
    """The Java package crema.spark. Raises CremaError where the jar is missing."""
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        raise CremaError("crema needs a session with a JVM of its own: Spark Connect has none here; use spark-submit or a plain SparkSession")
    found = jvm.crema.spark
    if not isinstance(found.CremaOnSpark, JavaClass):
        raise CremaError("crema-spark.jar is not on Spark's class path: give it with --jars, or set spark.jars before the first session begins")
    return found


def strings(spark, values):
    """A Java array of strings."""
    gateway = spark.sparkContext._gateway
    array = gateway.new_array(gateway.jvm.java.lang.String, len(values))
    for i, value in enumerate(values):
        array[i] = value
    return array


@contextlib.contextmanager
def plain_errors():
    """crema's own exceptions become CremaError with their sentence; others stay what they are."""
    try:
        yield
    except Py4JJavaError as e:
        cause = e.java_exception
        while cause is not None:
            if cause.getClass().getName().startswith("crema.spark."):
                raise CremaError(cause.getMessage()) from e
            cause = cause.getCause()
        raise

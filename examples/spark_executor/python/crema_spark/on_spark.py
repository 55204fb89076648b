# SPDX-License-Identifier: Apache-2.0
from pyspark.sql import DataFrame

from crema_spark._jvm import package, plain_errors, strings


def options_help(spark):
    """The options, one a line."""
    return package(spark).CremaOnSpark.help()


def command_line(options):
    """The words of a command line: conf="a", clusterSize=2, persistent=True."""
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("-" + name)
        if value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    return words


class CremaOnSpark:
    """Each method takes more options, which hold for that call; without a DataFrame the rows are those that the net names."""

    def __init__(self, spark, **options):
        self.spark, self.options = spark, options
        package(spark)

    def train(self, rows=None, **options):
        """Trains and writes the model."""
        with plain_errors():
            self._java(options).train(*self._frames(rows))

    def trainWithValidation(self, rows=None, validation=None, **options):
        """Trains, and returns the validation curve: a row for each validation, of iteration and the test net's outputs."""
        if (rows is None) != (validation is None):
            raise ValueError("give both DataFrames, or none")
        with plain_errors():
            return self._frame(self._java(options).trainWithValidation(*self._frames(rows, validation)))

    def stop(self, **options):
        """Ends the training of `model` that runs now, in this program or another: with a snapshot, and the weights so far as the model."""
        with plain_errors():
            self._java(options).stop()

    def test(self, rows=None, **options):
        """The test net's outputs by name, over all samples."""
        with plain_errors():
            return dict(self._java(options).test(*self._frames(rows)))

    def features(self, rows=None, **options):
        """A DataFrame of SampleID and the blobs that the option `features` names."""
        with plain_errors():
            return self._frame(self._java(options).features(*self._frames(rows)))

    def plan(self, **options):
        """What a training will take: ranks, executors, steps, memory, disk; as text."""
        with plain_errors():
            return self._java(options).outlook()

    def doctor(self, **options):
        """Whether the executors are fit for it, one a line."""
        with plain_errors():
            return package(self.spark).CremaOnSpark.doctor(self.spark._jsparkSession, self._options(options))

    def _options(self, more):
        return package(self.spark).Options.parse(strings(self.spark, command_line({**self.options, **more})))

    def _java(self, more):
        return package(self.spark).CremaOnSpark(self.spark._jsparkSession, self._options(more))

    def _frames(self, *frames):
        return [f._jdf for f in frames if f is not None]

    def _frame(self, java):
        return DataFrame(java, self.spark)

# SPDX-License-Identifier: Apache-2.0
"""The job of clusters_test.py: one barrier stage of two tasks that exchange a message, between a read and a write.

    barrier_job.py INPUT OUTPUT      Parquet files, on any file system
"""
import os, sys

from pyspark import BarrierTaskContext
from pyspark.sql import SparkSession

source, target = sys.argv[1:]
spark = SparkSession.builder.appName("barrier").getOrCreate()
spark.range(1000).write.mode("overwrite").parquet(source)


def task(rows):
    context = BarrierTaskContext.get()
    mine = sum(row.id for row in rows)
    everyone = [int(text) for text in context.allGather(str(mine))]
    print(f"task {context.partitionId()} of {len(everyone)}")
    return [(context.partitionId(), os.getpid(), sum(everyone))]


# Without the schema Spark would look at the first row, and that is no thing to ask of a barrier stage.
result = spark.read.parquet(source).repartition(2).rdd.barrier().mapPartitions(task).toDF("task int, pid int, total long")
result.write.mode("overwrite").parquet(target)
rows = spark.read.parquet(target).collect()
assert len({row.pid for row in rows}) == 2
print("totals", sorted((row.task, row.total) for row in rows))
spark.stop()

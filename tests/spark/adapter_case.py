# SPDX-License-Identifier: Apache-2.0
"""What the tests of the adapter share: one application, its tables, and jobs on them. Imported once, by adapter_test.py."""
import os, re, subprocess, sys, tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent.parent / "examples" / "spark_executor" / "python"))
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
import pyspark

os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
from pyspark.sql import SparkSession

from crema_spark import CremaOnSpark
from small_table import NET, SCHEMA, SOLVER, images, net_of_tables, write_data

engine, jar = map(os.path.abspath, sys.argv[1:3])
master = next((a.split("=", 1)[1] for a in sys.argv[3:] if a.startswith("--master=")), "local-cluster[2,1,1024]")
ROWS, TEST_ROWS = 330, 130


def java_object(name, *values):
    """A Java object, as Java writes it down."""
    jvm = spark._jvm
    out = jvm.java.io.ByteArrayOutputStream()
    stream = jvm.java.io.ObjectOutputStream(out)
    stream.writeObject(getattr(jvm, name)(*values) if values else getattr(jvm, name)())
    stream.flush()
    return bytearray(out.toByteArray())


def java_program():
    """A jar of java/*.java, compiled against Spark's jars and crema's, as a user would."""
    classes = folder / "classes"
    path = os.pathsep.join([os.environ["SPARK_HOME"] + "/jars/*", jar])
    subprocess.run(["javac", "--release", "17", "-cp", path, "-d", classes, *(here / "java").glob("*.java")], check=True)
    subprocess.run(["jar", "cf", folder / "user.jar", "-C", classes, "."], check=True)
    return folder / "user.jar"


temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
scratch = folder / "local"
scratch.mkdir()
script = folder / "gpus.sh"
script.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["7"]}'\n""")
script.chmod(0o755)
GPUS = {"spark.worker.resource.gpu.amount": "1", "spark.worker.resource.gpu.discoveryScript": str(script),
        "spark.executor.resource.gpu.amount": "1", "spark.task.resource.gpu.amount": "1"}
spark = (SparkSession.builder.master(master).appName("adapter test")
         .config("spark.jars", f"{jar},{java_program()}").config("spark.files", engine).config("spark.ui.port", "0")
         .config("spark.local.dir", str(scratch)).config("spark.executor.heartbeatInterval", "1s")
         .config("spark.hadoop.fs.viewfs.mounttable.far.link./data", f"file:{folder}/far")  # viewfs://far/data: where only Hadoop's file systems reach
         .config("spark.driver.memory", "512m").config("spark.executor.memory", "512m").config("spark.sql.shuffle.partitions", "4")
         .config(map=GPUS if master.startswith("local-cluster") else {}).getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
spark.createDataFrame(list(images(ROWS, 1)), SCHEMA).repartition(3).write.parquet(str(folder / "train"))
spark.createDataFrame(list(images(TEST_ROWS, 2)), SCHEMA).coalesce(1).write.parquet(str(folder / "test"))
train, test = (spark.read.parquet(str(folder / name)) for name in ("train", "test"))
(folder / "net.prototxt").write_text(net_of_tables(f"file:{folder}/train", f"file:{folder}/test"))
write_data(folder)
(folder / "files_net.prototxt").write_text(NET)


def end():
    spark.stop()
    temporary.cleanup()


def solver(name="solver", max_iter=120, snapshot=0, test_interval=40, net="net.prototxt"):
    path = folder / f"{name}.prototxt"
    text = SOLVER.format(max_iter=max_iter, snapshot=snapshot, prefix=name).replace("net.prototxt", net)
    path.write_text(re.sub(r"test_iter: 20 test_interval: \d+", f"test_iter: 3 test_interval: {test_interval}", text))
    return str(path)


def crema(model="model", **options):
    defaults = {"conf": solver(), "model": f"file:{folder}/out/{model}.caffemodel", "clusterSize": 2, "threads": 1, "silence": 3, "deadline": 10}
    return CremaOnSpark(spark, **{**defaults, **options})

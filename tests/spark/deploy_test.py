#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""spark-submit of the real job in each deploy mode: LeNet on Fashion-MNIST, shortly; one smoke test for each.

    deploy_test.py JAR MPI [standalone|yarn]...      JAR: crema-spark.jar with the engine inside; MPI: what pack_mpi.sh made

Rows come from Parquet, on HDFS where there is one, and from IDX files that the engines read themselves. The same rows and
the same seed have to give the same model, to the bit, wherever the job runs.
"""
import hashlib, json, re, subprocess, sys, tempfile
from pathlib import Path

import clusters, processes

jar, mpi = (Path(p).resolve() for p in sys.argv[1:3])
DATA = Path("/usr/share/datasets/fashion-mnist")
EXAMPLE = clusters.ROOT / "examples" / "fashion_mnist"
ITERATIONS = 150  # of 2 x 64 images
models = {}

# One file for each phase: the order of its rows is their order for training.
MAKE_PARQUET = """
import gzip, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
for name, prefix, count in (("train", "train", 12000), ("test", "t10k", 2000)):
    images = gzip.open(f"{sys.argv[1]}/{prefix}-images-idx3-ubyte.gz").read(16 + count * 784)[16:]
    labels = gzip.open(f"{sys.argv[1]}/{prefix}-labels-idx1-ubyte.gz").read(8 + count)[8:]
    rows = [(str(i), bytearray(images[i * 784:(i + 1) * 784]), labels[i]) for i in range(count)]
    spark.createDataFrame(rows, "id string, data binary, label int").coalesce(1).write.parquet(f"{sys.argv[2]}/{name}")
"""


def prototxts(folder, source):
    """A short solver, the net as it is (IDX), and the net with rows of Parquet files below `source`."""
    solver = (EXAMPLE / "lenet_solver.prototxt").read_text()
    for name, value in (("max_iter", ITERATIONS), ("test_interval", ITERATIONS), ("snapshot", ITERATIONS)):
        solver = re.sub(rf"(?m)^{name}: \d+", f"{name}: {value}", solver)
    (folder / "solver.prototxt").write_text(solver)
    net = (EXAMPLE / "lenet_train_test.prototxt").read_text()
    (folder / "lenet_train_test.prototxt").write_text(net)
    for phase, images in (("train", "train"), ("test", "t10k")):
        memory = f'''source_class: "com.yahoo.ml.caffe.ImageDataFrame"
  memory_data_param {{ source: "{source}/{phase}" channels: 1 height: 28 width: 28 batch_size'''
        net = net.replace(f'data_param {{ source: "{images}-images-idx3-ubyte.gz" batch_size', memory)
    (folder / "rows.prototxt").write_text(net.replace('type: "Data"', 'type: "MemoryData"'))


def submit(cluster, name, *arguments, **options):
    """Trains and tests; nothing may be left, and the accuracy has to be one that only training gives."""
    traces = processes.Traces(cluster.folder, watched="/crema-(?!spark)")  # folders of engines; Spark keeps its own, and logs
    job = cluster.submit(jar, "-train", "-test", "-clusterSize", "2", *arguments, main_class="crema.spark.CremaOnSpark", deadline=280, **options)
    found = re.findall(r"(?m)^accuracy: ([\d.]+)", job.output)
    assert found, job.tail()
    print(f"{job.seconds:6.1f} s  {name}: accuracy {found[-1]} after {ITERATIONS} iterations", flush=True)
    assert float(found[-1]) > 0.7, job.tail()
    traces.nothing_new()
    return job


def same(name, model):
    """Every place trains the same model from the same source."""
    digest = hashlib.sha256(model).hexdigest()
    assert models.setdefault(name, digest) == digest, f"another model than elsewhere: {name}"


def standalone():
    with clusters.standalone(memory="512m") as c:
        prototxts(c.folder, f"file:{parquet}")
        out = c.folder / "out"
        submit(c, "standalone, Parquet", "-conf", c.folder / "solver.prototxt", "-net", c.folder / "rows.prototxt", "-model", f"file:{out}/a.caffemodel",
               "-output", f"file:{out}/scores", "-label", "label", "-curve", f"file:{out}/curve", "-lmdb_partitions", "2")  # a label alone asks for no features
        submit(c, "standalone, IDX", "-conf", c.folder / "solver.prototxt", "-data_root", DATA, "-model", f"file:{out}/b.caffemodel",
               "-output", f"file:{out}/more_scores")
        submit(c, "standalone, IDX, over MPI", "-conf", c.folder / "solver.prototxt", "-data_root", DATA, "-model", f"file:{out}/c.caffemodel",
               "-engine", "crema/crema_executor_mpi", "-connection", "mpi", conf={"spark.archives": f"{mpi}#crema"})
        same("Parquet", (out / "a.caffemodel").read_bytes())
        same("IDX", (out / "b.caffemodel").read_bytes())
        same("IDX", (out / "c.caffemodel").read_bytes())
        assert "accuracy" in (out / "scores").read_text()
        curve, = (out / "curve").glob("part-*.json")
        assert json.loads(curve.read_text().splitlines()[-1])["iteration"] == ITERATIONS, curve.read_text()
        job = c.submit(jar, "-features", "ip2", "-outputFormat", "parkett", "-conf", c.folder / "solver.prototxt", "-data_root", DATA, "-output", f"file:{out}/none",
                       "-model", f"file:{out}/b.caffemodel", main_class="crema.spark.CremaOnSpark", check=False)
        assert job.returncode == 1 and re.search("(?m)^crema: -outputFormat parkett: Spark has no writer of this name", job.stderr), job.tail()


def on_yarn(cluster, mode):
    prototxts(cluster.folder, f"{cluster.hdfs}/data")
    for file in parquet.glob("*/*.parquet"):
        cluster.put(file, f"/data/{file.parent.name}/{file.name}")
    # The net on HDFS: one that is named, or the one beside the solver that the solver names.
    net = "rows" if mode == "client" else "lenet_train_test"
    for name, there in (("solver", "solver"), ("rows", net)):
        cluster.put(cluster.folder / f"{name}.prototxt", f"/job/{there}.prototxt")
    named = ["-net", f"{cluster.hdfs}/job/{net}.prototxt"] if mode == "client" else []
    out = f"{cluster.hdfs}/{mode}"
    # Prototxts on HDFS; then on the submitter's machine: the application master gets them with the job.
    submit(cluster, f"YARN, deploy mode {mode}, Parquet on HDFS", "-conf", f"{cluster.hdfs}/job/solver.prototxt", *named,
           "-features", "accuracy,ip2", "-label", "label", "-outputFormat", "parquet", "-model", f"{out}/a.caffemodel", "-output", f"{out}/features", deploy_mode=mode)
    submit(cluster, f"YARN, deploy mode {mode}, IDX", "-conf", cluster.folder / "solver.prototxt" if mode == "client" else "solver.prototxt",
           "-data_root", DATA, "-model", f"{out}/b.caffemodel", "-output", f"{out}/scores",
           files=[cluster.folder / "solver.prototxt", cluster.folder / "lenet_train_test.prototxt"], deploy_mode=mode)
    same("Parquet", cluster.read(f"{out}/a.caffemodel"))
    same("IDX", cluster.read(f"{out}/b.caffemodel"))
    assert b"accuracy" in cluster.read(f"{out}/scores")
    there = cluster.list(out)
    assert {f"lenet_iter_{ITERATIONS}.caffemodel", f"lenet_iter_{ITERATIONS}.solverstate"} <= set(there), there
    assert any(name.endswith(".parquet") for name in cluster.list(f"{out}/features"))


def yarn():
    with clusters.yarn() as c:
        for mode in ("client", "cluster"):
            on_yarn(c, mode)


processes.guard()
with tempfile.TemporaryDirectory() as name:
    parquet = Path(name)
    subprocess.run([clusters.PYTHON, "-c", MAKE_PARQUET, DATA, parquet], check=True, stderr=subprocess.DEVNULL)
    for test in sys.argv[3:] or ["standalone", "yarn"]:
        globals()[test]()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Spark costs: two engines under a standalone cluster beside the same two started by hand; prints docs/benchmarks.md's tables.

    CREMA_SPARK=build/spark build/spark/venv/bin/python bench/spark/run.py BUILD JAR [--rounds 3] [--iterations 3000] [--rows 600000] [--only training,rows,accuracy]

BUILD has crema and crema_executor; tests/spark/setup.sh made CREMA_SPARK, examples/spark_executor/java/build.sh the JAR. LeNet on
Fashion-MNIST, an engine of one thread for each of two ranks. All engines run through a script that notes when they say what.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "tests" / "spark"))
import clusters, processes
from engine import BYTES, INT, TRAIN, Engine, form_world, pack_stream

DATA = Path("/usr/share/datasets/fashion-mnist")
EXAMPLE = ROOT / "examples" / "fashion_mnist"

NOTE = """#!{python}
import os, subprocess, sys, time
engine = subprocess.Popen(["{engine}", *sys.argv[1:]], stdout=subprocess.PIPE)
with open("{notes}/" + str(os.getpid()), "wb", buffering=0) as note:
    for line in engine.stdout:
        note.write(b"%.6f " % time.time() + line)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
sys.exit(engine.wait())
"""
# Images again and again, in one file: the order of its rows is their order for training.
MAKE_PARQUET = """
import gzip, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
images = gzip.open(f"{sys.argv[1]}/train-images-idx3-ubyte.gz").read()[16:]
labels = gzip.open(f"{sys.argv[1]}/train-labels-idx1-ubyte.gz").read()[8:]
once = spark.createDataFrame([(bytearray(images[i * 784:(i + 1) * 784]), labels[i]) for i in range(6000)], "data binary, label int").coalesce(1)
for count in map(int, sys.argv[3:]):
    rows = once
    for _ in range(count // 6000 - 1):
        rows = rows.union(once)
    rows.coalesce(1).write.parquet(f"{sys.argv[2]}/{count}")
"""
READ = """
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
for _ in range(3):
    rows = spark.read.parquet(sys.argv[1])
    for name, frame in (("read", rows), ("deal", rows.repartition(2, F.monotonically_increasing_id() % 2))):
        begun = time.time()
        frame.write.format("noop").mode("overwrite").save()
        print(name, time.time() - begun)
"""


class Timeline:
    """When the two engines of one training said what: the later one counts, as the other waits for it."""

    def __init__(self, notes):
        self.ranks = []
        for path in notes.iterdir():
            lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
            events = [(float(at), json.loads(event)) for at, event in lines]
            path.unlink()
            if any(e["event"] == "ready" for _, e in events):  # the driver's own engine only plans
                self.ranks.append(events)

    def at(self, name):
        return max(at for events in self.ranks for at, e in events if e["event"] == name)

    def between(self, one, other):
        return self.at(other) - self.at(one)


class Bench:
    def __init__(self, arguments, cluster):
        self.a, self.cluster, self.folder = arguments, cluster, cluster.folder
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        self.engine = self.folder / "engine"
        self.engine.write_text(NOTE.format(python=sys.executable, engine=arguments.build / "crema_executor", notes=self.notes))
        self.engine.chmod(0o755)

    def prototxts(self, iterations, batch, source=None):
        """The quickstart's job, without tests, with this batch for a rank."""
        solver = (EXAMPLE / "lenet_solver.prototxt").read_text()
        if iterations:
            solver = re.sub(r"(?m)^(test_iter|test_interval|snapshot): .*\n", "", re.sub(r"max_iter: \d+", f"max_iter: {iterations}", solver))
        net = (EXAMPLE / "lenet_train_test.prototxt").read_text().replace("batch_size: 64", f"batch_size: {batch}")
        if source:
            net = net.replace('type: "Data"', 'type: "MemoryData"', 1).replace(
                'data_param { source: "train-images-idx3-ubyte.gz" batch_size', f'memory_data_param {{ source: "{source}" channels: 1 height: 28 width: 28 batch_size', 1)
        (self.folder / "lenet_solver.prototxt").write_text(solver)
        (self.folder / "lenet_train_test.prototxt").write_text(net)
        return self.folder / "lenet_solver.prototxt"

    def spark(self, solver, *more):
        begun = time.time()
        job = self.cluster.submit(self.a.jar, "-train", "-conf", solver, "-data_root", DATA, "-clusterSize", "2", "-engine", self.engine,
                                  "-model", f"file:{self.folder}/model/lenet.caffemodel", *more, main_class="crema.spark.CremaOnSpark", deadline=900)
        return begun, time.time(), Timeline(self.notes), job

    def by_hand(self, solver, rows=None):
        engines = [Engine(str(self.engine)) for _ in range(2)]
        try:
            for rank, e in enumerate(engines):
                mine = [] if rows is None else rows[rank::2]
                stream = [] if rows is None else [dict(phase="TRAIN", rows=len(mine), total=len(rows))]
                e.job(mode="TRAIN", solver=str(solver), data_root=str(DATA), rank=rank, size=2, threads=1, stream=stream)
                if rows is not None:
                    e.send(pack_stream(TRAIN, [("data", BYTES), ("label", INT)], mine))
            for e in engines:
                e.event("ready", 300)
            form_world(engines)
            for e in engines:
                e.event("done", 600)
                e.end()
        finally:
            for e in engines:
                e.__exit__()
        return Timeline(self.notes)


def training(bench):
    """Steps, and the parts of what comes before and after."""
    solver = bench.prototxts(bench.a.iterations, 32)
    pairs, parts = [], []
    for _ in range(bench.a.rounds):
        alone = bench.by_hand(solver).between("start", "done")
        begun, ended, t, _ = bench.spark(solver)
        pairs.append((alone, t.between("start", "done")))
        parts.append([t.at("hello") - begun, t.between("hello", "ready"), t.between("ready", "world"), t.between("world", "start"), ended - t.at("done")])
    ratios = [spark / alone for alone, spark in pairs]
    print(f"\n{bench.a.iterations} iterations of 2 x 32: by hand {statistics.median(p[0] for p in pairs):.1f} s, under Spark "
          f"{statistics.median(p[1] for p in pairs):.1f} s, ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print("\n| part | seconds |\n| --- | --- |")
    for name, seconds in zip(("spark-submit to the engines' first word", "their data", "their world", "the first weights", "the end, to spark-submit's"), zip(*parts)):
        print(f"| {name} | {statistics.median(seconds):.1f} |")


def rows(bench):
    """From Parquet to the engines' spools."""
    table = bench.folder / "tables"
    counts = [60000, bench.a.rows]
    subprocess.run([clusters.PYTHON, "-c", MAKE_PARQUET, DATA, table, *map(str, counts)], check=True, stderr=subprocess.DEVNULL)
    program = bench.folder / "read.py"
    program.write_text(READ)
    print("\n| rows of 784 bytes | MB | spark-submit to ready | of these, into the engines | Spark reads them | and deals them to two tasks |\n| --- | --- | --- | --- | --- | --- |")
    ready = []
    for count in counts:
        solver = bench.prototxts(1, 32, f"file:{table}/{count}")
        runs = [bench.spark(solver) for _ in range(bench.a.rounds)]
        ready.append(statistics.median(t.at("ready") - begun for begun, _, t, _ in runs))
        engines = statistics.median(t.between("hello", "ready") for _, _, t, _ in runs)
        said = bench.cluster.submit(program, table / str(count), deadline=600).stdout
        read, deal = (min(float(s) for s in re.findall(rf"(?m)^{name} (\S+)", said)) for name in ("read", "deal"))
        print(f"| {count} | {count * 784 / 1e6:.0f} | {ready[-1]:.1f} s | {engines:.1f} s | {read:.1f} s | {deal:.1f} s |", flush=True)
    print(f"\nParquet to the engines' disks, without the start-up: {(counts[1] - counts[0]) * 784e-6 / (ready[1] - ready[0]):.0f} MB/s")


def accuracy(bench):
    """The quickstart's job, whole: one process, four threads of it as ranks, two executors."""
    crema = bench.a.build / "crema"
    print("\n| | accuracy |\n| --- | --- |")
    for name, batch, flags in (("one process", 64, []), ("4 threads as ranks", 16, ["--ranks=4"])):
        solver, model = bench.prototxts(0, batch), bench.folder / "model.caffemodel"
        subprocess.run([crema, "train", f"--solver={solver}", f"--data-root={DATA}", f"--save={model}", *flags], check=True, stderr=subprocess.DEVNULL, cwd=bench.folder)
        said = subprocess.run([crema, "test", f"--model={EXAMPLE}/lenet_train_test.prototxt", f"--data-root={DATA}", f"--weights={model}", "--iterations=0"],
                              check=True, capture_output=True, text=True).stderr
        print(f"| {name} | {re.findall(r'accuracy = ([0-9.]+)', said)[-1]} |", flush=True)
    job = bench.spark(bench.prototxts(0, 32), "-test", "-output", f"file:{bench.folder}/scores")[3]
    print(f"| 2 executors of Spark | {re.findall(r'(?m)^accuracy: ([0-9.]+)', job.output)[-1]} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("jar", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=600000)
    parser.add_argument("--only", default="training,rows,accuracy")
    arguments = parser.parse_args()
    arguments.build, arguments.jar = arguments.build.resolve(), arguments.jar.resolve()
    processes.guard()
    with clusters.standalone(memory="1g") as cluster:
        bench = Bench(arguments, cluster)
        for part in arguments.only.split(","):
            globals()[part](bench)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Executors that differ, what reaches them in an archive or from HDFS, and a training that is told to stop.

    executors_test.py ENGINE JAR [standalone|yarn]...      ENGINE has the program `crema` beside it
"""
import collections, re, signal, sys, tarfile
from pathlib import Path

import clusters, processes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "program"))
from small_job import NET, SOLVER, write_data, write_lmdb, write_mean

engine, jar = (Path(p).resolve() for p in sys.argv[1:3])
IDX, LABELS = "small-images-idx3-ubyte", "small-labels-idx1-ubyte"


def write_job(folder, source=IDX, name="job", max_iter=120, transform=""):
    """A solver and its net; training reads `source`, the tests read IDX."""
    (folder / f"{name}_net.prototxt").write_text(NET.replace(f'source: "{IDX}"', f'source: "{source}"', 1).replace("scale:", transform + " scale:"))
    solver = SOLVER.format(max_iter=max_iter, snapshot=0, prefix=name).replace("net.prototxt", f"{name}_net.prototxt")
    (folder / f"{name}.prototxt").write_text(solver.replace("test_interval: 1000000", "test_interval: 60"))
    return folder / f"{name}.prototxt"


def archive(folder):
    """The engine in a folder of an archive."""
    with tarfile.open(folder / "engine.tgz", "w:gz") as tar:
        tar.add(engine, "bin/crema_executor")
    return f"{folder / 'engine.tgz'}#packed"


def train(cluster, name, solver, *arguments, run=clusters.Cluster.submit, size=3, **options):
    out = getattr(cluster, "hdfs", f"file:{cluster.folder}")
    return run(cluster, jar, "-train", "-conf", solver, "-data_root", cluster.folder, "-clusterSize", str(size), "-threads", "1", "-engine", engine,
               "-model", f"{out}/out/{name}.caffemodel", *arguments, main_class="crema.spark.CremaOnSpark", **options)


def standalone():
    """One worker with two cores and two GPUs, one with one of each; no machine here has a GPU, so scripts name them."""
    with clusters.standalone([dict(cores=2, gpus=["3", "4"]), dict(gpus=["7"])]) as c:
        c.conf["spark.executor.memory"] = "512m"  # two fit into a worker
        write_data(c.folder)
        addresses_are_passed_on(c)
        the_executor_with_more_cores_does_more(c)
        stopped_by_a_signal(c)
        stopped_by_a_file(c)


def addresses_are_passed_on(c):
    gpus = {"spark.executor.cores": 1, "spark.executor.resource.gpu.amount": 1, "spark.task.resource.gpu.amount": 1}
    job = train(c, "gpus", write_job(c.folder), "-engine", "packed/bin/crema_executor", conf=gpus, archives=[archive(c.folder)])
    said = re.findall(r"(?m)^crema\[(\d)\] this engine has no GPU backend: it computes on the CPU, and GPU (\d) stays idle$", "\n".join(job.logs.values()))
    assert {rank for rank, _ in said} == {"0", "1", "2"} and sorted(gpu for _, gpu in said) == ["3", "4", "7"], said


def the_executor_with_more_cores_does_more(c):
    """Two engines in one executor, one in the other: the third of the batch each, and the bits of three equal executors."""
    job = train(c, "cores", write_job(c.folder), run=clusters.Cluster.start)
    job.until(lambda: len(job.engines()) == 3, 60, "three engines")
    engines = collections.Counter(p.parent for p in job.engines())
    assert sorted(engines.values()) == [1, 2], engines
    assert job.wait(120) == 0, job.tail()
    assert len(job.executors()) == 0 and (c.folder / "out" / "cores.caffemodel").read_bytes() == (c.folder / "out" / "gpus.caffemodel").read_bytes()


def long_training(c, name):
    job = train(c, name, write_job(c.folder, name=name, max_iter=10 ** 7), run=clusters.Cluster.start, conf={"spark.executor.heartbeatInterval": "1s"})
    job.until(lambda: re.search(r"rank 0 iteration \d\d", job.stderr), 90, "the training is on its way")
    return job


def stopped_well(c, job, name):
    iteration = re.search(r"crema: stopped at iteration (\d+)", job.stderr)
    assert iteration, job.tail()
    assert {f"{name}.caffemodel", f"{name}_iter_{iteration[1]}.caffemodel", f"{name}_iter_{iteration[1]}.solverstate"} == {
        p.name for p in (c.folder / "out").glob(f"{name}*")}, list((c.folder / "out").iterdir())


def stopped_by_a_signal(c):
    job = long_training(c, "signal")
    job.submitter().signal(signal.SIGTERM)
    assert job.wait(60) == 128 + signal.SIGTERM, job.tail()
    stopped_well(c, job, "signal")


def stopped_by_a_file(c):
    job = long_training(c, "file")
    (c.folder / "out" / "file.caffemodel.stop").touch()
    assert job.wait(60) == 0, job.tail()
    stopped_well(c, job, "file")


def yarn():
    """A database, IDX files and a mean of zero on HDFS give the bits that files on each machine give, with an engine out of an archive."""
    with clusters.yarn() as c:
        write_data(c.folder)
        pixels, labels = ((c.folder / name).read_bytes() for name in (IDX, LABELS))
        write_lmdb(engine.with_name("crema"), c.folder, [(pixels[16 + 144 * i:][:144], label) for i, label in enumerate(labels[8:])])
        write_mean(c.folder / "mean.binaryproto")
        for file in (IDX, LABELS, "small_lmdb/data.mdb", "mean.binaryproto"):
            c.put(c.folder / file, f"/data/{file}")
        mean = f'mean_file: "{c.hdfs}/data/mean.binaryproto"'
        # The last model replaces the one before.
        for name, source, transform in (("local", IDX, ""), ("far", f"{c.hdfs}/data/{IDX}", mean), ("far", f"{c.hdfs}/data/small_lmdb", mean)):
            job = train(c, name, write_job(c.folder, source, transform=transform), "-engine", "packed/bin/crema_executor", size=2, archives=[archive(c.folder)])
            assert job.stdout.count("validation iteration") == 2, job.tail()
            assert c.read(f"/out/{name}.caffemodel") == c.read("/out/local.caffemodel"), name
        refused(c, write_job(c.folder, f"{c.hdfs}/data/nothing"), "there is no hdfs://")
        c.put(c.folder / "small_lmdb" / "data.mdb", "/other/small_lmdb/data.mdb")
        two = write_job(c.folder, f"{c.hdfs}/data/small_lmdb")
        net = c.folder / "job_net.prototxt"
        net.write_text(net.read_text().replace(f'source: "{IDX}"', f'source: "{c.hdfs}/other/small_lmdb"'))
        refused(c, two, "rename one of them")


def refused(c, solver, why):
    job = train(c, "refused", solver, size=2, check=False)
    assert job.returncode == 1 and re.search(f"(?m)^crema: .*{why}", job.stderr), job.tail()


processes.guard()
for name in sys.argv[3:] or ["standalone", "yarn"]:
    globals()[name]()

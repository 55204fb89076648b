#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clusters themselves: a small barrier job on each, its output, and that nothing stays behind.

    clusters_test.py [local_cluster|standalone|yarn|orphans]...
"""
import contextlib, subprocess, sys, time
from pathlib import Path

import clusters, processes

JOB = Path(__file__).with_name("barrier_job.py")
EXPECTED = f"totals [(0, {sum(range(1000))}), (1, {sum(range(1000))})]"


@contextlib.contextmanager
def timed(what):
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)


@contextlib.contextmanager
def started(cluster, name):
    """The cluster, with the times of its start and end."""
    with contextlib.ExitStack() as stack:
        with timed(f"{name}: start"):
            running = stack.enter_context(cluster)
        yield running
        with timed(f"{name}: end"):
            stack.close()


def run(cluster, data, deploy_mode="client"):
    traces = processes.Traces(cluster.temporary)
    with timed(f"{cluster.master}, deploy mode {deploy_mode}: the job"):
        job = cluster.submit(JOB, f"{data}/in", f"{data}/out", deploy_mode=deploy_mode, deadline=300)
    assert EXPECTED in job.output, job.tail()
    traces.nothing_new()
    return job


def local_cluster():
    with started(clusters.local_cluster(), "local-cluster") as c:
        assert len(run(c, c.folder / "data").logs) == 4, "stdout and stderr of two executors"


def standalone():
    with started(clusters.standalone(), "standalone") as c:
        assert len(run(c, c.folder / "data").logs) == 4, "stdout and stderr of two executors"
        kill_an_executor(c)


def yarn():
    with started(clusters.yarn(), "YARN and HDFS") as c:
        for mode in ("client", "cluster"):
            containers = {name.split("/")[0] for name in run(c, f"{c.hdfs}/{mode}", mode).logs}
            assert len(containers) == 3, f"two executors and the application master, not {containers}"
            assert any(name.endswith(".parquet") for name in c.list(f"/{mode}/out"))
        c.put(JOB, "/a/b.py")
        assert c.read("/a/b.py") == JOB.read_bytes()


def kill_an_executor(cluster):
    """What tests of faults need: find the parts of a running job, kill one, stop the job, find nothing left."""
    traces = processes.Traces(cluster.temporary)
    job = cluster.start(JOB, cluster.folder / "data2/in", cluster.folder / "data2/out")
    victim = job.until(lambda: len(job.executors()) == 2 and job.executors()[0], 60, "two executors")
    assert job.driver() == job.submitter() and victim.alive
    victim.kill()
    job.until(lambda: not victim.alive, 10, "the executor is dead")
    job.until(lambda: len(job.executors()) == 2, 60, "another one in its place")
    job.stop()
    traces.nothing_new(deadline=20)


def orphans():
    """A test that is killed leaves nothing: neither a child in a session of its own nor a grandchild whose parent is gone."""
    inner = """
import os, processes, subprocess, sys
processes.guard()
subprocess.Popen(["sh", "-c", "setsid sleep 1000 & echo $!; exec sleep 1000"], stdout=sys.stdout)
processes.until(lambda: len(processes.ours()) == 2, 10, "both are there")
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""
    for how in ("killed", "returns"):
        r = subprocess.run([sys.executable, "-c", inner, how], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and r.stderr.count("left behind") == 2, r
        assert not Path(f"/proc/{int(r.stdout)}").exists()


processes.guard()
for name in sys.argv[1:] or ["orphans", "local_cluster", "standalone", "yarn"]:
    globals()[name]()

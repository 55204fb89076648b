#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Faults of training on Spark, each at the start, in a step and in a snapshot: an engine, an executor, a worker, a driver that is
killed, an engine that is stopped, a rank that throws, a full disk, a wrong secret, a job that is cancelled.

    faults_test.py ENGINE JAR [local|standalone|yarn ...] [short] [seed=N] [WORD ...]       JAR: with the engine inside

The attempt ends within the limit of its kind of fault (6 s, or 9 s where somebody is waited for), its message names the culprit first, no engine, port or file stays, the retry goes on from the
newest snapshot, and the model has the bits of a run that nothing disturbed. In local-cluster runs the whole matrix (`short`: its
moments in a step); on standalone and YARN each kind of fault once, at a moment of its own. WORDs choose lines of the table, which
comes last; its seconds are those from the fault to the end of the attempt. Needs root, for file systems that are soon full.
"""
import contextlib, ctypes, os, random, re, signal, subprocess, sys, tempfile, time
from pathlib import Path

import clusters, processes
from faults import *
from processes import until
from small_table import SCHEMA, images

# --- Applications ------------------------------------------------------------------------------------------------------


class Session:
    """An application that many cases share: PySpark in this process, its JVM beside it."""

    def __init__(self, place, conf):
        cluster = place.cluster
        place.session = self
        self.log = cluster.folder / "driver.log"
        os.environ.update(cluster.environment)
        sys.path.append(str(clusters.ROOT / "examples" / "spark_executor" / "python"))
        from pyspark.sql import SparkSession
        from crema_spark import CremaOnSpark
        self.crema = CremaOnSpark
        own = os.dup(2)
        with open(self.log, "ab") as log:  # the JVM inherits it
            os.dup2(log.fileno(), 2)
        try:
            self.spark = (SparkSession.builder.master(cluster.master).appName("faults").config("spark.jars", jar).config("spark.ui.showConsoleProgress", "false")
                          .config("spark.executor.heartbeatInterval", "1s")
                          .config(map={**cluster.conf, **conf}).getOrCreate())
        finally:
            os.dup2(own, 2)
            os.close(own)
        self.spark.sparkContext.setLogLevel("ERROR")
        self.table = f"file:{place.files}/table"
        self.spark.createDataFrame(list(images(330, 1)), SCHEMA).coalesce(1).write.parquet(self.table)

    def train(self, options, wrong):
        rows = self.spark.read.parquet(self.table)
        self.crema(self.spark, **options).train(wrong(rows) if wrong else rows)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        from pyspark import SparkContext
        gateway = self.spark.sparkContext._gateway
        self.spark.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()  # what the JVM waits for
        gateway.proc.wait(30)
        SparkContext._gateway = SparkContext._jvm = None


class Submitted(Case):
    """A fault in an application of its own: what spark-submit runs. If it does not begin again by itself (`ending` is "again"), a
    second one goes on from the newest snapshot."""

    def __init__(self, fault, when, hit, ending="resubmitted", **submit):
        super().__init__(fault, when, hit, ending=ending)
        self.submit = submit

    def start(self, *more):
        words = [str(w) for name, value in self.options().items() for w in ("-" + name, value)]
        return self.cluster.start(jar, "-train", *words, *more, main_class="crema.spark.CremaOnSpark", **self.submit)

    def disturb(self):
        self.ports = set()
        self.job = job = self.start()
        self.has_ended = lambda: job.returncode is not None
        self.await_moment()
        attempt = engines() + executors() * (self.ending != "again")
        newest, begun = self.place.newest(self.name), time.monotonic()
        self.hit(self)
        until(lambda: not any(p.alive for p in attempt), self.limit(), "its engines and executors have ended")
        self.seconds = time.monotonic() - begun
        job.wait(180)
        check(not self.retry(), "it was tried again:", self.said())
        if self.ending != "again":
            check(job.returncode != 0, "it did not fail")
            last = self.place.newest(self.name)
            self.job = self.start("-snapshot", "auto")
            self.job.wait(180)
        check(self.job.returncode == 0, f"it ended with {self.job.returncode}:", self.job.tail())
        resumed = [int(n) for n in re.findall(r"crema: goes on from .*_iter_(\d+)\.solverstate", self.said())] or [0]
        self.message = f"goes on from iteration {resumed[0]}"
        check(newest <= resumed[0] and (self.ending == "again" or resumed[0] == last), f"it {self.message}, the newest snapshot was {newest} before the fault")
        self.same_bits()

    def said(self):
        return self.job.stderr + "".join(text for name, text in self.job.logs.items() if name.endswith("stderr"))


def kill_driver(case):
    case.job.driver().kill()


def interrupt(case):
    """Ctrl-C."""
    case.job.submitter().signal(signal.SIGINT)


def kill_on_yarn(case):
    """yarn application -kill"""
    case.cluster.kill(case.job.application)


# --- The table ---------------------------------------------------------------------------------------------------------

CLUSTER_MODE = {"deploy_mode": "cluster", "conf": {"spark.yarn.maxAppAttempts": "2"}}
table, failures = [], []


def play(cluster, title, shared, own, conf={}):
    """The cases of an application that they share, then those that have one each."""
    place = Place(cluster, title)
    try:
        with Session(place, conf):
            run(place, [Case("none", "", ending="none"), *shared])
        run(place, own)
    finally:
        subprocess.run(["umount", "-l", place.folder], check=True)


def run(place, some):
    for case in some:
        if case.fault != "none" and not all(w in f"{case.fault} {case.when}" for w in words):
            continue
        begun = time.monotonic()
        failure = case.play(place)
        table.append(case.line())
        print(f"{case.line()}  [{time.monotonic() - begun:.0f} s in all]", flush=True)
        if failure:
            failures.append(failure)
            print("FAILED: " + failure, flush=True)


def moment(fault):
    return random.Random(f"{random_seed} {fault}").choice(("start", "step", "snapshot"))


def doctor(cluster):
    """Where a library is missing and the disk is small, -doctor says so of each executor, and fails."""
    folder, disk = cluster.folder / "doctor", cluster.folder / "local"
    folder.mkdir()
    for name, text in (("gone", "int gone(void) { return 0; }"), ("engine", "int gone(void); int main(void) { return gone(); }")):
        (folder / f"{name}.c").write_text(text)
    subprocess.run(["cc", "-shared", "-fPIC", "gone.c", "-o", "libgone.so"], cwd=folder, check=True)
    subprocess.run(["cc", "engine.c", "-o", "engine", "-L.", "-lgone"], cwd=folder, check=True)
    (folder / "libgone.so").unlink()
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", disk], check=True)
    try:
        job = cluster.submit(jar, "-doctor", "-clusterSize", "2", "-engine", folder / "engine", main_class="crema.spark.CremaOnSpark", check=False)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    said = re.findall(r"(?m)^executor \d on 127.0.0.1, .*: .*libgone.so: cannot open shared object file.*; only \d+ MB are free in", job.stdout)
    check(job.returncode == 1 and len(said) == 2, "-doctor:", job.returncode, job.tail())


def local(short):
    moments = ("step",) if short else ("start", "step", "snapshot")
    with clusters.local_cluster() as c:
        if all(w in "doctor" for w in words):
            doctor(c)
        play(c, "local-cluster", cases(moments), [*(Submitted("kill -9 driver", when, kill_driver) for when in moments), Submitted("Ctrl-C", "step", interrupt)])


def standalone(short):
    shared = [Case(fault, moment(fault), hit) for fault, hit in (("kill -9 engine", kill), ("kill -9 executor", kill_executor), ("SIGSTOP", stop), ("SIGSTOP of an executor", stop_executor))]
    shared += [Case("cancelled", moment("cancelled"), cancel, ending="cancelled"), *wrongly_started(), Case("kill -9 worker", moment("kill -9 worker"), kill_worker)]
    with clusters.standalone(workers=3) as c:
        play(c, "standalone", shared, [Submitted("kill -9 driver", moment("kill -9 driver"), kill_driver)], {"spark.cores.max": "2"})


def yarn(short):
    shared = [Case(fault, moment(fault), hit) for fault, hit in (("kill -9 engine", kill), ("kill -9 executor", kill_executor), ("SIGSTOP", stop), ("SIGSTOP of an executor", stop_executor))]
    own = [Submitted("kill -9 driver", "step", kill_driver, ending="again", **CLUSTER_MODE), Submitted("yarn -kill", moment("yarn"), kill_on_yarn, **CLUSTER_MODE)]
    with clusters.yarn() as c:
        play(c, "YARN", [*shared, *wrongly_started()], own)


def main():
    processes.guard()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in a shell's background ignores it, and his children too
    libc = ctypes.CDLL(None)
    check(libc.unshare(0x20000) == 0, "cannot mount file systems: run this as root")  # CLONE_NEWNS: mounts end with this process
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    print(f"random moments of seed {random_seed}", flush=True)
    begun = time.monotonic()
    for where in chosen or (local, standalone, yarn):
        where("short" in flags)
    print("\n".join(table))
    print(f"{len(table)} cases in {time.monotonic() - begun:.0f} s, {len(failures)} failures")
    print("\n".join(failures))
    sys.exit(bool(failures))


words = [w for w in sys.argv[3:] if not w.startswith("seed=")]
flags = {w for w in words if w in ("short", "local", "standalone", "yarn")}
chosen = [globals()[w] for w in ("local", "standalone", "yarn") if w in flags]
words = [w for w in words if w not in flags]
main()

# SPDX-License-Identifier: Apache-2.0
"""The cases of faults_test.py: a training, a fault in it, and what has to follow. The engine and the jar are the first two arguments."""
import concurrent.futures, contextlib, hashlib, os, random, re, shlex, signal, subprocess, sys, tempfile, time
from pathlib import Path

import clusters, processes
from processes import until
from small_table import NET, SCHEMA, SOLVER, images, net_of_tables, write_data

engine, jar = map(os.path.abspath, sys.argv[1:3])
SILENCE = DEADLINE = 5  # seconds: options of every job
MARGIN = 20  # seconds in which what is left has to go
SECRET = "another secret, as long as it takes"
random_seed = next((int(w[5:]) for w in sys.argv if w.startswith("seed=")), random.randrange(1 << 30))
undisturbed = {}  # iterations -> the digest of the model


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


# --- What runs, and what it has on disk --------------------------------------------------------------------------------


def engines():
    return [p for p in processes.ours() if p.command and p.command[0].endswith("crema_executor")]


def executors():
    return [p for p in processes.ours() if p.runs("CoarseGrainedExecutorBackend") or p.runs("YarnCoarseGrainedExecutorBackend")]


def own_folder(process):
    """An engine's, of which `snapshots` holds what is not yet in its place."""
    return next((w[6:] for w in process.command if w.startswith("--dir=")), "")


def files_of_engines(cluster):
    """Folders of engines: in Spark's, and in /tmp, where all engines of a machine have their sockets until their rows are there."""
    own = {os.path.join(at, name) for at, names, _ in os.walk(cluster.folder) for name in names if name.startswith("crema-")}
    return own | {str(p) for p in Path("/tmp").glob("crema-??????")}


class Place:
    """Where models go: a small disk, or a folder on HDFS."""

    def __init__(self, cluster, title):
        self.cluster, self.title = cluster, title
        self.session = None  # of cases that share one
        self.files = cluster.folder / "cases"
        self.files.mkdir()
        (self.files / "table_net.prototxt").write_text(net_of_tables(f"file:{self.files}/table", f"file:{self.files}/table"))
        (self.files / "net.prototxt").write_text(NET)
        write_data(self.files)
        self.hdfs = cluster if isinstance(cluster, clusters.Yarn) else None
        # Snapshots come to HDFS a while after they were taken: training goes on for so long.
        self.iterations, self.every = (20000, 2000) if self.hdfs else (5000, 200)
        self.folder = cluster.folder / "out"
        self.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", self.folder], check=True)
        self.uri = f"{cluster.hdfs}/out" if self.hdfs else f"file:{self.folder}"

    def names(self):
        with contextlib.suppress(FileNotFoundError):
            return list(self.hdfs.list("/out")) if self.hdfs else os.listdir(self.folder)
        return []

    def read(self, name):
        return self.hdfs.read(f"/out/{name}") if self.hdfs else (self.folder / name).read_bytes()

    def newest(self, name):
        """The last iteration that has a state with its model beside it; 0 for none."""
        there = self.names()
        states = [int(n) for f in there for n in re.findall(rf"^{name}_iter_(\d+)\.solverstate$", f)]
        return max([n for n in states if f"{name}_iter_{n}.caffemodel" in there], default=0)


# --- Cases -------------------------------------------------------------------------------------------------------------


class Case:
    """A fault in a training by an application that goes on. `hit` brings it about; or `wrong` says how rows or options are, and
    `engine` is a script in the engine's place."""

    def __init__(self, fault, when, hit=None, says=None, *, ending="retried", wrong=None, engine=None):
        self.fault, self.when, self.hit, self.says, self.ending, self.wrong, self.engine = fault, when, hit, says, ending, wrong, engine
        self.seconds, self.message = 0.0, ""

    def play(self, place):
        self.place, self.cluster = place, place.cluster
        self.name = re.sub(r"\W+", "_", f"{self.fault} {self.when}")
        self.random = random.Random(f"{random_seed} {self.name}")
        before = files_of_engines(self.cluster)
        try:
            self.disturb()
            self.nothing_is_left(before)
        except (Failed, TimeoutError, AssertionError, subprocess.SubprocessError) as error:
            return f"{self.line()}: {error}"
        return None

    def options(self):
        solver = self.place.files / f"{self.name}.prototxt"
        solver.write_text(SOLVER.format(max_iter=self.place.iterations, snapshot=self.place.every, prefix=self.name).replace("net.prototxt", "table_net.prototxt"))
        return {"conf": solver, "model": f"{self.place.uri}/{self.name}.caffemodel", "clusterSize": 2, "threads": 1, "silence": SILENCE, "deadline": DEADLINE,
                "retries": 1, **({"engine": script(self, self.engine)} if self.engine else {})}

    def limit(self):
        """Seconds from the fault to the attempt's end: a process that ends closes its connections; one that is stopped, or strangers
        whom nobody lets in, are known by waiting. Where the end waits, for that or for HDFS, a load above the runs' own counts."""
        waits = self.engine or self.hit in (stop, stop_executor, stop_all_executors)
        return (SILENCE + 4 if waits else DEADLINE + 1) * (max(1, os.getloadavg()[0] / (2 * os.cpu_count())) if waits or self.place.hdfs else 1)

    def disturb(self):
        self.ports = set()
        self.said_before = self.place.session.log.stat().st_size
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            training = pool.submit(self.place.session.train, self.options(), self.wrong)
            self.has_ended = training.done
            try:
                self.await_moment()
                attempt = engines()
                newest, begun = self.place.newest(self.name), time.monotonic()
                if self.hit:
                    self.hit(self)
                if self.ending not in ("goes on", "none"):
                    until(lambda: (training.done() or self.retry()) and not any(p.alive for p in attempt), self.limit(), "the attempt and its engines have ended")
                self.seconds, last = time.monotonic() - begun, self.place.newest(self.name)
                self.afterwards()
            except Failed as failed:
                raise Failed(f"{failed}\n{training.exception(timeout=180)}") from None
            finally:
                error = training.exception(timeout=180)
        self.judge(error, newest, last)

    def said(self):
        with open(self.place.session.log, errors="replace") as f:
            f.seek(self.said_before)
            return f.read()

    def retry(self):
        return re.search(r"crema: ([^\n]*(?:\n(?!crema: ).*)*)\ncrema: attempt 2 of 2 goes on from (.*)\n", self.said())

    def judge(self, error, newest, last):
        retry = self.retry()
        if self.ending == "retried":
            check(retry, "it was not tried again:", error, self.said()[-2000:])
            self.message = retry.group(1)
            resumed = int((re.findall(r"_iter_(\d+)\.solverstate", retry.group(2)) or [0])[0])
            check(newest <= resumed <= last, f"it goes on from {retry.group(2)}, the newest snapshot before the fault was {newest}, after it {last}")
        else:
            check(not retry, "it was tried again:", retry and retry.group(1))
            self.message = self.message or str(error or "")
        if self.ending in ("retried", "goes on", "none"):
            check(not error, "it failed:", error)
            self.same_bits()
        else:
            check(error, "no error was raised")
        check(not self.says or re.match(self.says, self.message), f"it says: {self.message}; not: {self.says}")

    def same_bits(self):
        digest = hashlib.sha256(self.place.read(f"{self.name}.caffemodel")).hexdigest()
        check(undisturbed.setdefault(self.place.iterations, digest) == digest, "other bits than those of an undisturbed run")

    def await_moment(self):
        """Until the training is where the fault belongs."""
        def there(condition, what):
            while not condition():
                check(not self.has_ended(), "it ended before:", what, self.said()[-3000:])
                check(time.monotonic() < end, "not in 120 s:", what)
                time.sleep(0.002)
        end = time.monotonic() + 120
        there(lambda: len(engines()) >= 2 or (not self.hit and self.has_ended()), "two engines run")
        if self.wrong or self.engine or self.ending == "none":
            return
        there(lambda: all(p.listens() for p in engines()), "both listen")
        self.ports = {port for p in engines() for port in p.listens()}
        if self.when == "start":
            return time.sleep(self.random.uniform(0, 0.4))
        wanted = self.place.every * self.random.randrange(1, 8)
        there(lambda: self.place.newest(self.name) >= wanted, f"the snapshot of iteration {wanted}")
        if self.when == "step":
            return time.sleep(self.random.uniform(0, 0.1))
        kept = [own_folder(p) + "/snapshots" for p in engines()]
        there(lambda: any(os.path.isdir(k) and os.listdir(k) for k in kept), "a snapshot is being written")
        time.sleep(self.random.choice([0, self.random.uniform(0, 0.03)]))

    def victim(self):
        """(rank, process): it is rank 0 that writes snapshots."""
        if self.when == "start":
            return r"\d", self.random.choice(engines())
        by_rank = sorted(engines(), key=lambda p: os.stat(own_folder(p) + "/snapshots").st_mtime_ns, reverse=True)
        rank = self.random.randrange(2)
        check(len(by_rank) == 2, "the training ends before the fault")
        return rank, by_rank[rank]

    def afterwards(self):
        pass

    def nothing_is_left(self, before):
        until(lambda: not engines(), 15, lambda: f"no engine stays: {engines()}")
        until(lambda: not self.ports & set(processes.listening().values()), 15, lambda: f"nobody listens on {self.ports}, where its engines did")
        unmount(self.cluster.folder)
        left = files_of_engines(self.cluster) - before
        until(lambda: not {f for f in left if os.path.exists(f)}, 15, lambda: f"no file stays: { {f: os.listdir(f) for f in left if os.path.exists(f)} }")
        parts = [n for n in self.place.names() if n.startswith(".") and ".part" in n]
        check(not parts, "half-written:", parts)

    def line(self):
        return f"{self.place.title:13} {self.fault:24} {self.when:8} {self.seconds:5.1f} s  {self.message.splitlines()[0][:150] if self.message else self.ending}"


# --- Faults ------------------------------------------------------------------------------------------------------------


HOST = "(127.0.0.1|localhost)"
LOST = rf"rank \d on {HOST}: its executor \d+ was lost"


def kill(case):
    rank, process = case.victim()
    case.says = rf"rank {rank} on {HOST}: the engine was ended by signal 9"
    process.kill()


def stop(case):
    rank, process = case.victim()
    case.says = rf"rank {rank} (on {HOST}: the engine was ended: it said nothing for|was lost: silent for|did not)"
    process.signal(signal.SIGSTOP)


def kill_executor(case):
    case.says = LOST
    case.random.choice(executors()).kill()


def stop_executor(case, count=1):
    """Its engine lives on, and ends for want of a host; the executor is missed by its heartbeat, and Spark ends it."""
    case.says = rf"{LOST}: it has sent no heartbeat|rank \d(: its host has said nothing for {SILENCE} s| did not)"
    stopped = case.random.sample(executors(), count)
    for executor in stopped:
        executor.signal(signal.SIGSTOP)
    case.afterwards = lambda: until(lambda: not any(p.alive for p in stopped), MARGIN, "stopped executors have ended")


def stop_all_executors(case):
    """Nobody is left to tell the driver."""
    stop_executor(case, 2)


def kill_worker(case):
    case.says = LOST
    parents = {p.parent for p in executors()}
    next(w for w in case.cluster.worker_processes if w.alive and w.pid in parents).kill()


def cancel(case):
    case.says = r"(?s).*cancel"
    case.place.session.spark.sparkContext.cancelAllJobs()


def full_disk_of_models(case):
    """Until the next attempt, for which there is room again."""
    case.says = rf"rank 0 on {HOST}: .* cannot be written: .*No space left"
    filler = case.place.folder / "filler"
    with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    case.afterwards = filler.unlink


def stranger(case):
    """One that would be a rank, but has not the secret: nobody listens any more, and the training goes on."""
    from engine import Engine, text_format
    with Engine(engine) as e:
        solver = case.place.files / "stranger.prototxt"
        solver.write_text(SOLVER.format(max_iter=1, snapshot=0, prefix="stranger"))
        e.job(mode="TRAIN", solver=str(solver), data_root=str(case.place.files), rank=1, size=2, threads=1, deadline=DEADLINE)
        e.event("ready")
        begun = time.monotonic()
        e.tell("world " + text_format(address=f"127.0.0.1:{case.random.choice(sorted(case.ports))}", secret=SECRET))
        check(e.end(60) == 4, "the stranger was not turned away")
        case.seconds, case.message = time.monotonic() - begun, e.all("fail")[0]["why"]


# Scripts in an engine's place.
WRONG_SECRET = """if grep -q CoarseGrained /proc/$PPID/cmdline && mkdir {once} 2> /dev/null; then
  sed -u 's/secret: "[^"]*"/secret: "{secret}"/' | {engine} "$@"
else
  exec {engine} "$@"
fi"""
FULL_DISK = """grep -q CoarseGrained /proc/$PPID/cmdline || exec {engine} "$@"
mount -t tmpfs -o size=%s tmpfs "${{1#--dir=}}"
{engine} "$@"
status=$?
umount -l "${{1#--dir=}}"
exit $status"""


def script(case, text):
    path = case.place.files / f"{case.name}.sh"
    path.write_text("#!/bin/sh\n" + text.format(engine=shlex.quote(engine), once=case.place.files / f"{case.name}.once", secret=SECRET) + "\n")
    path.chmod(0o755)
    return path


def unmount(root):
    """What scripts could not, because they were killed."""
    for line in Path("/proc/mounts").read_text().splitlines():
        if (at := line.split()[1]).startswith(f"{root}/") and "/crema-" in at:
            subprocess.run(["umount", "-l", at], check=True)
            os.rmdir(at)


# Rows with a fault in one of them.
def not_a_number(rows):
    return rows.selectExpr("data", "if(id = '00000100', float('nan'), float(label)) as label")


def no_such_class(rows):
    return rows.selectExpr("data", "if(id = '00000100', 9, label) as label")


def wrongly_started():
    yield Case("wrong secret", "start", engine=WRONG_SECRET, says=r".*(secret|did not)")
    yield Case("throws: NaN", "start", wrong=not_a_number, ending="refused", says=rf"rank \d on {HOST}: row 100, column 'label': holds a number that is not finite")
    yield Case("full disk of the engine", "start", engine=FULL_DISK % "20k", ending="refused", says=rf"rank \d on {HOST}: .*rows cannot be spooled.*No space left.*make room")


def cases(moments):
    for when in moments:
        yield Case("kill -9 engine", when, kill)
        yield Case("kill -9 executor", when, kill_executor)
        yield Case("SIGSTOP", when, stop)
        yield Case("SIGSTOP of an executor", when, stop_executor)
        yield Case("cancelled", when, cancel, ending="cancelled")
        if when == "start":
            yield from wrongly_started()
        else:
            yield Case("wrong secret", when, stranger, ending="goes on", says="rank 0 ")
        if when == "step":
            yield Case("SIGSTOP of all executors", when, stop_all_executors)
            yield Case("throws: no such class", when, wrong=no_such_class, ending="refused", says=rf"rank \d on {HOST}: .*label")
        if when == "snapshot":
            yield Case("full disk of the engine", when, engine=FULL_DISK % "40k", ending="refused", says=rf"rank 0 on {HOST}: cannot write .*No space left")
            yield Case("full disk of the models", when, full_disk_of_models)

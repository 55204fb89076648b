# SPDX-License-Identifier: Apache-2.0
"""Real clusters for tests: Spark's local-cluster, a standalone master with workers, YARN with HDFS.

    processes.guard()                    # first of all: nothing that the test starts outlives it, however it ends
    with clusters.standalone() as c:     # or local_cluster(), or yarn()
        job = c.submit(jar, "-train", main_class="...", deadline=120)
        assert "accuracy" in job.stdout

All three give the same kind of Cluster. Each has a folder of its own for whatever it, its jobs and their executors write,
temporary files included; it is removed at the end. Ports are free ones that the servers choose. What setup.sh installed is
looked for in the folder named by CREMA_SPARK (default: build/spark).
"""
import contextlib, http.client, json, os, re, subprocess, sys, tempfile, time
from pathlib import Path
from urllib.parse import quote, urlsplit

import processes
from processes import Process, Traces, until

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(os.environ.get("CREMA_SPARK", ROOT / "build" / "spark")).resolve()
PYTHON = INSTALLED / "venv" / "bin" / "python"

# --- Jobs ------------------------------------------------------------------------------------------------------------


class Failed(AssertionError):
    pass


class Job:
    """One spark-submit. Its executors and engines can be asked for while it runs."""

    def __init__(self, cluster, command, environment, folder, deploy_mode):
        self.cluster, self.folder, self.deploy_mode = cluster, folder, deploy_mode
        self._others = set(processes.ours())  # executors of earlier jobs that may still be ending
        self.started = time.monotonic()
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            self._process = processes.start(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    # What spark-submit printed. In deploy mode cluster the program's own output is in the driver's log: see logs.
    stdout = property(lambda self: (self.folder / "stdout").read_text(errors="replace"))
    stderr = property(lambda self: (self.folder / "stderr").read_text(errors="replace"))
    returncode = property(lambda self: self._process.poll())

    @property
    def application(self):
        """Its id, as soon as the cluster has given it one."""
        found = re.findall(r"\b(?:application_\d+_\d+|app-\d+-\d+)\b", self.stderr)
        return found[0] if found else None

    @property
    def logs(self):
        """{name: text} of all files that its executors (and on YARN the application master) wrote so far: <container or number>/stdout, .../stderr."""
        found = {}
        for file in self.cluster._logs(self):
            found["/".join(file.parts[-2:])] = file.read_text(errors="replace")
        return found

    @property
    def output(self):
        """What the program printed, wherever it ran."""
        return self.stdout + "".join(text for name, text in self.logs.items() if self.deploy_mode == "cluster" and name.endswith("/stdout"))

    def _new(self, *names):
        return [p for p in processes.ours() if p not in self._others and any(p.runs(n) for n in names)]

    def executors(self):
        """The executors' JVMs, in the order of their start."""
        java = self._new("CoarseGrainedExecutorBackend", "YarnCoarseGrainedExecutorBackend")
        return sorted((p for p in java if p.command[0].endswith("java")), key=lambda p: p.start)

    def engines(self, name="crema_executor"):
        """The engine processes, in the order of their start."""
        return sorted((p for p in self._new(name) if p.command[0].endswith(name)), key=lambda p: p.start)

    def driver(self):
        """The JVM that runs `main`: spark-submit's own, or YARN's application master."""
        java = self._new("ApplicationMaster" if self.deploy_mode == "cluster" else "SparkSubmit")
        return next((p for p in java if p.command[0].endswith("java")), None)

    def submitter(self):
        """spark-submit's JVM."""
        return Process(self._process.pid)

    def until(self, condition, deadline, what):
        """As the function of this name, but a job that has ended is a failure at once."""
        def check():
            value = condition()
            if not value and self.returncode is not None:
                raise Failed(f"the job ended with {self.returncode} before: {what}\n{self.tail()}")
            return value
        return until(check, deadline, what)

    def wait(self, deadline):
        """The exit status; a job that takes longer is stopped and is an error."""
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            text = self.tail()
            self.stop()
            raise Failed(f"the job did not end in {deadline} s\n{text}") from None
        finally:
            self.seconds = time.monotonic() - self.started

    def stop(self):
        """Ends spark-submit as Ctrl-C would, which gives Spark the time to wipe its temporary files."""
        processes.stop([self._process])

    def tail(self, lines=40):
        """The end of each output, for error messages."""
        parts = {"stdout": self.stdout, "stderr": self.stderr, **self.logs}
        return "\n".join(f"--- {name}\n" + "\n".join(line[:500] for line in text.splitlines()[-lines:]) for name, text in parts.items() if text)


# --- Clusters --------------------------------------------------------------------------------------------------------


class Cluster:
    def __init__(self, master, folder, environment, conf):
        self.master, self.folder, self.environment, self.conf = master, folder, environment, conf
        self.temporary = folder / "tmp"  # java.io.tmpdir of all its JVMs (of containers: their own folder)
        self.jobs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """A test that gives up leaves jobs behind."""
        processes.stop([job._process for job in self.jobs if job.returncode is None])

    def start(self, application, *arguments, main_class=None, conf={}, files=(), archives=(), deploy_mode="client"):
        """spark-submit, running. `application` is a jar or a Python program."""
        folder = self.folder / f"job{len(self.jobs) + 1}"
        folder.mkdir()
        command = [self.folder / "spark" / "bin" / "spark-submit", "--master", self.master, "--deploy-mode", deploy_mode]
        for key, value in {**self.conf, **conf}.items():
            command += ["--conf", f"{key}={value}"]
        if main_class:
            command += ["--class", main_class]
        for option, values in (("--files", files), ("--archives", archives)):
            if values:
                command += [option, ",".join(map(str, values))]
        self.jobs.append(Job(self, [*command, application, *arguments], self.environment, folder, deploy_mode))
        return self.jobs[-1]

    def submit(self, application, *arguments, deadline=180, check=True, **options):
        """spark-submit to its end; unless `check` is off, a status that is not 0 is a failure that shows the outputs."""
        job = self.start(application, *arguments, **options)
        job.wait(deadline)
        if check and job.returncode != 0:
            raise Failed(f"the job ended with {job.returncode}\n{job.tail()}")
        return job

    def _logs(self, job):
        roots = [self.folder / "work", self.folder / "spark" / "work"]  # of standalone workers; of local-cluster's
        return sorted(f for root in roots for f in root.glob(f"{job.application or 'app-*'}/*/std*"))


class Yarn(Cluster):
    """YARN's Cluster, with HDFS: `hdfs` is its URI."""

    def __init__(self, *arguments, hdfs, web):
        super().__init__(*arguments)
        self.hdfs, self._web = hdfs, urlsplit(web).netloc

    def _logs(self, job):
        return sorted(self.folder.glob(f"target/test/data/yarn/*/yarn-logDir-*/{job.application}/container_*/std*")) if job.application else []

    def kill(self, application):
        """What `yarn application -kill` asks for, without the seconds in which that starts."""
        settings = (self.folder / "conf" / "yarn-site.xml").read_text()
        manager = re.search("<name>yarn.resourcemanager.webapp.address</name><value>([^<]+)", settings)[1]
        connection = http.client.HTTPConnection(manager, timeout=30)
        try:
            connection.request("PUT", f"/ws/v1/cluster/apps/{application}/state", '{"state": "KILLED"}', {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status in (200, 202), (answer.status, answer.read())
        finally:
            connection.close()

    def _request(self, method, path, operation, body=None):
        """One operation of WebHDFS; content goes through a second address, that of a datanode."""
        path = path.removeprefix(self.hdfs)
        where, url = self._web, f"/webhdfs/v1{quote(path)}?op={operation}&user.name={self.environment['HADOOP_USER_NAME']}"
        for data in (None, body):
            connection = http.client.HTTPConnection(where, timeout=30)
            try:
                connection.request(method, url, data)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            if answer.status != 307:
                break
            where, url = (part := urlsplit(answer.headers["Location"])).netloc, f"{part.path}?{part.query}"
        if answer.status == 404:
            raise FileNotFoundError(path)
        if answer.status >= 300:
            raise OSError(f"{operation} {path}: {answer.status} {content.decode(errors='replace')}")
        return content

    def put(self, local, path):
        """A local file becomes one on HDFS; folders are made."""
        self._request("PUT", path, "CREATE&overwrite=true", Path(local).read_bytes())

    def read(self, path):
        return self._request("GET", path, "OPEN")

    def list(self, path):
        """{name: size} of a folder's entries."""
        found = json.loads(self._request("GET", path, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
        return {f["pathSuffix"]: f["length"] for f in found}


@contextlib.contextmanager
def _workplace(memory):
    """A folder for a cluster, the environment of its JVMs, and the settings of its jobs."""
    if not (INSTALLED / "venv.stamp").exists():
        sys.exit(f"there is no Spark in {INSTALLED}: run tests/spark/setup.sh, or set CREMA_SPARK to its folder")
    # Short: paths of Unix sockets hold 108 characters.
    with tempfile.TemporaryDirectory(prefix="cr-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        # A SPARK_HOME of links: local-cluster writes to SPARK_HOME/work, and tests may run side by side.
        (folder / "spark").mkdir()
        for entry in os.listdir(INSTALLED / "spark"):
            (folder / "spark" / entry).symlink_to(INSTALLED / "spark" / entry)
        environment = {
            **{k: os.environ[k] for k in ("PATH", "HOME", "LANG", "JAVA_HOME", "LD_LIBRARY_PATH") if k in os.environ},
            "SPARK_HOME": folder / "spark", "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": folder / "local",
            "PYSPARK_PYTHON": PYTHON, "HADOOP_USER_NAME": "tester",
            # JVMs here live for seconds: the quick compiler and a collector of one thread start them sooner.
            "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={folder / 'tmp'} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Djava.net.preferIPv4Stack=true",
        }
        conf = {
            "spark.executor.memory": memory, "spark.driver.memory": "512m", "spark.ui.enabled": "false",
        }
        yield folder, {k: str(v) for k, v in environment.items()}, conf


@contextlib.contextmanager
def _nothing_left():
    """What the block started is gone at its end, or that is a failure (unless the block failed itself)."""
    traces = Traces()
    yield
    traces.nothing_new()


@contextlib.contextmanager
def local_cluster(workers=2, cores=1, memory="1g"):
    """Workers inside the driver's process, executors as processes of their own. Starts and ends with each job."""
    megabytes = int(memory[:-1]) * {"m": 1, "g": 1024}[memory[-1]]
    with _nothing_left(), _workplace(memory) as (folder, environment, conf):
        with Cluster(f"local-cluster[{workers},{cores},{megabytes}]", folder, environment, conf) as cluster:
            yield cluster


@contextlib.contextmanager
def standalone(workers=2, cores=1, memory="1g"):
    """A master and workers, each a process. `workers`: how many, or for each what add_worker takes. `master_process` and
    `worker_processes` are theirs, to be killed by tests."""
    workers = [{}] * workers if isinstance(workers, int) else workers
    with _nothing_left(), _workplace(memory) as (folder, environment, conf), contextlib.ExitStack() as stack:
        servers = []
        stack.callback(lambda: processes.stop(servers))

        def server(name, *command):
            with open(folder / name, "wb") as log:
                servers.append(processes.start([folder / "spark" / "bin" / "spark-class", *command], env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log))
            return servers[-1]

        def log_has(name, pattern, times=1):
            def look():
                ended = [s for s in servers if s.poll() is not None]
                assert not ended, f"a server ended with {ended[0].returncode}: {(folder / name).read_text()}"
                found = re.findall(pattern, (folder / name).read_text(errors="replace"))
                return found if len(found) >= times else None
            return until(look, 60, lambda: f"'{pattern}' in {name}:\n{(folder / name).read_text(errors='replace')}")

        def add_worker(cores=cores, gpus=()):
            """One more worker, for tests that have killed one. `gpus`: addresses that it says it has."""
            at = len(servers)
            properties, script = folder / f"worker{at}.conf", folder / f"worker{at}.sh"
            script.write_text("#!/bin/sh\necho '%s'\n" % json.dumps({"name": "gpu", "addresses": gpus}))
            script.chmod(0o755)
            properties.write_text(f"spark.worker.resource.gpu.amount {len(gpus)}\nspark.worker.resource.gpu.discoveryScript {script}\n" if gpus else "")
            server(f"worker{at}.log", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "--cores", str(cores),
                   "--memory", memory, "--work-dir", folder / "work", "--properties-file", properties, master)
            return servers[-1]

        first = server("master.log", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        master = log_has("master.log", r"Starting Spark master at (spark://\S+)")[0]
        for worker in workers:
            add_worker(**worker)
        log_has("master.log", "Registering worker", len(workers))
        cluster = Cluster(master, folder, environment, {**conf, "spark.cores.max": str(sum(w.get("cores", cores) for w in workers))})
        cluster.master_process = Process(first.pid)
        cluster.worker_processes = [Process(s.pid) for s in servers[1:]]
        cluster.add_worker = lambda: Process(add_worker().pid)
        with cluster:
            yield cluster


@contextlib.contextmanager
def yarn(executors=2, cores=1, memory="512m"):
    """YARN and HDFS in one process, in which containers of 6000 MB in all find room."""
    with _nothing_left(), _workplace(memory) as (folder, environment, conf):
        if not (INSTALLED / "hadoop.stamp").exists():
            sys.exit(f"there is no YARN in {INSTALLED}: run tests/spark/setup.sh without `spark`")
        with open(folder / "mini.log", "wb") as log:
            server = processes.start(["java", "-Xmx768m", "-cp", f"{INSTALLED}/hadoop/mini.jar:{INSTALLED}/hadoop/lib/*", "Mini", folder],
                            env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = next((l for l in server.stdout if l.startswith("READY ")), None)  # its own deadlines bound this
            assert line, f"the mini clusters ended with {server.wait()}:\n{(folder / 'mini.log').read_text()[-4000:]}"
            _, hdfs, web = line.split()
            environment["HADOOP_CONF_DIR"] = str(folder / "conf")
            conf |= {"spark.executor.instances": str(executors), "spark.executor.cores": str(cores), "spark.yarn.am.memory": "512m",
                     "spark.yarn.maxAppAttempts": "1",
                     # One machine: the jars are there, and need not be sent (420 MB).
                     "spark.yarn.jars": f"local:{INSTALLED}/spark/jars/*"}
            for key in ("SPARK_LOCAL_IP", "PYSPARK_PYTHON", "JAVA_TOOL_OPTIONS"):  # containers inherit nothing
                conf |= {f"spark.yarn.appMasterEnv.{key}": environment[key], f"spark.executorEnv.{key}": environment[key]}
            with Yarn("yarn", folder, environment, conf, hdfs=hdfs, web=web) as cluster:
                yield cluster
        finally:
            # It kills its containers, then itself.
            with contextlib.suppress(OSError):
                server.stdin.close()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

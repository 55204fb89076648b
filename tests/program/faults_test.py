#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Faults of a job of several processes: a rank that is killed or stopped, that throws, that has a wrong secret, a cut network;
each at the start (over MPI, in MPI_Init too), in a step and in a snapshot.

    faults_test.py CREMA [seed=N] [WORD ...]            only the cases whose line in the table holds all words
    faults_test.py CREMA_MPI mpi [seed=N] [WORD ...]    the same over MPI, with the program of examples/mpi

The others end with status 1 and a message that begins with the rank at fault; nothing stays behind: no process, no port, no
file; the newest snapshot that has its name is whole; and a restart from it ends with the bits of a job that nothing
disturbed. Who dies in MPI_Init may leave a file of UCX: in the folder that UCX_POSIX_DIR names. Prints a table; the seconds are those from the fault to the end of the last rank that can end. How long ranks may take is
asserted with a wide margin: this machine may be busy.
"""
import concurrent.futures, contextlib, os, random, re, resource, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "comm"))
from cable import Cable, CannotLay
from small_job import NET, SOLVER, write_data

program, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
OVER_MPI = words[:1] == ["mpi"]
del words[:OVER_MPI]
NAME = "crema_mpi: " if OVER_MPI else "crema: "  # how errors begin
SECRET, WRONG = "the secret of these tests", "another one, as long as it"
SILENCE = 1.5  # seconds until a rank that says nothing is lost
FORM = 3  # seconds until a world has to stand, where it will not
MARGIN = 12  # seconds more than the limits that a loaded machine may take
ITERATIONS = 1200
MUST_LAY = os.environ.get("CI") == "true" and os.geteuid() == 0  # a cable: there no case is skipped
folder = None  # of all cases
random_seed = next((int(w[5:]) for w in words if w.startswith("seed=")), random.randrange(1 << 30))


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


def free_port(taken=set(), lock=threading.Lock()):
    """Not one of those that the system gives to whoever asks for any."""
    with lock:
        while True:
            port = random.randrange(20000, 32000)
            if port not in taken and not listened(port):
                taken.add(port)
                return port


def listened(port):
    """Asked by connecting: a socket bound to find out would be held a while by what another thread is just starting."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Case:
    """One fault. `hit` brings it about in a job that runs; `wrong` changes what the victim is started with."""

    def __init__(self, fault, when, victim, ranks, *, wrong=None, hit=None, own=None, others=None, strategy="synchronous", deadline=60.0, silence=10.0, every=0, come=0, here=1, ends=True):
        self.fault, self.when, self.victim, self.ranks = fault, when, victim, ranks
        self.wrong, self.hit = wrong or {}, hit
        self.others = others or rf"rank {victim}\b"  # what their messages begin with
        self.own = own  # what the victim's message holds; None: it is dead
        self.strategy, self.deadline, self.silence, self.ends = strategy, deadline, silence, ends
        self.come = come or ranks  # so many are started
        self.here = here  # ranks in each process
        self.every = every or (1 if when == "snapshot" else 200)
        self.name = f"{fault} {when} {victim} of {ranks}".replace(" ", "_")
        self.random = random.Random(f"{random_seed} {self.name}")
        self.cable, self.processes, self.skipped = None, [], None
        self.seconds, self.first_error, self.half_written, self.litter = 0.0, "", 0, 0

    # What a case is made of.
    def solver(self, every, **changes):
        text = SOLVER.format(max_iter=ITERATIONS, snapshot=every, prefix=self.run / "job")
        for key, value in changes.items():
            text = re.sub(rf"\b{key}: \S+", f"{key}: {value}", text)
        path = self.folder / f"solver{len(list(self.folder.glob('solver*')))}.prototxt"
        path.write_text(text)
        return path

    def start(self, rank, address, solver, *flags, secret=SECRET, data="good", log=""):
        if OVER_MPI:
            command = [program, str(solver), str(folder / data), address, str(rank), str(self.ranks), f"--strategy={self.strategy}", *flags]
        else:
            command = [program, "train", f"--solver={solver}", f"--data-root={folder / data}", "--threads=1", f"--world={address}",
                       f"--rank={rank * self.here}", f"--ranks={self.ranks * self.here}", f"--ranks-here={self.here}", f"--strategy={self.strategy}", *flags]
        if self.cable:
            command = [*self.cable.at(int(rank == self.victim)), *command]
        log = self.folder / (log or f"rank{rank}.log")
        with open(log, "wb") as out:
            p = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=out, env={**os.environ, "CREMA_SECRET": secret, "UCX_POSIX_DIR": str(self.shared)})
        p.log = log
        self.processes.append(p)
        return p

    def start_all(self, address, solver, *flags):
        ranks = []
        for r in range(self.come):
            changes = dict(self.wrong) if r == self.victim else {}
            own_solver = self.solver(self.every, base_lr=changes.pop("base_lr")) if "base_lr" in changes else solver
            ranks.append(self.start(r, address, own_solver, *flags, **changes))
        return ranks

    def await_moment(self, ranks):
        """Until the job is where the fault belongs."""
        until = time.monotonic() + 60
        if self.when == "MPI_Init":
            while len(os.listdir(f"/proc/{ranks[self.victim].pid}/task")) < 4:  # with the world's thread and those for MPI's start
                check(all(p.poll() is None for p in ranks) and time.monotonic() < until, "the job does not get to MPI_Init:", message(ranks))
            return time.sleep(self.random.uniform(0, 0.04))
        if self.when == "start":
            return time.sleep(self.random.uniform(0, 0.05) if self.come == self.ranks else 1)
        first = self.run / f"job_iter_{self.every * (1 if self.when == 'step' else self.random.randrange(3, 9))}.solverstate"
        while not first.exists():
            check(all(p.poll() is None for p in ranks), "a rank ended before the fault:", message(ranks))
            check(time.monotonic() < until, "the job does not get to", first.name)
            time.sleep(0.002)
        if self.when == "step":
            return time.sleep(self.random.uniform(0, 0.05))
        while not self.partial() and time.monotonic() < until:
            pass
        time.sleep(self.random.choice([0, 0, self.random.uniform(0, 0.03)]))

    def partial(self):
        return [n for n in os.listdir(self.run) if n.endswith(".partial")]

    def states(self):
        return sorted(int(re.findall(r"_iter_(\d+)\.", p.name)[0]) for p in self.run.glob("*.solverstate"))

    # The case.
    def play(self):
        self.folder = folder / self.name
        self.run = self.folder / "run"
        self.run.mkdir(parents=True)
        self.shared = self.folder / "shared"  # UCX's memory
        self.shared.mkdir()
        try:
            if self.fault == "cut":
                with Cable() as self.cable:
                    self.disturb()
                self.cable = None
            else:
                self.disturb()
            if self.ends:
                self.restart()
        except CannotLay as error:
            self.skipped = self.first_error = f"skipped: {error}"
            return f"{self.name}: {error}" if MUST_LAY else None
        except Failed as error:
            return f"{self.name}: {error}"
        except subprocess.TimeoutExpired as error:
            return f"{self.name}: does not end: {' '.join(error.cmd)}"
        finally:
            for p in self.processes:
                if p.poll() is None:
                    p.kill()
                    p.wait()
        return None

    def disturb(self):
        host = self.cable.hosts[int(self.victim == 0)] if self.cable else "127.0.0.1"
        port = free_port()
        address = f"{host}:{port}"
        solver = self.solver(self.every)
        ranks = self.start_all(address, solver, f"--deadline={self.deadline}", f"--silence={self.silence}")
        victim = ranks[self.victim]
        begun = time.monotonic()
        if self.hit:
            self.await_moment(ranks)
            check(victim.poll() is None or self.when == "start", "the victim ended before the fault:", message([victim]))
            begun = time.monotonic()
            self.hit(self, victim, address, solver)
        if not self.ends:
            return
        gone = self.hit in (kill, stop)
        ending = [p for p in ranks if not (gone and p is victim)]
        for p in ending:
            p.wait(self.deadline + self.silence + 60)
        self.seconds = time.monotonic() - begun
        if gone:
            victim.kill()
            victim.wait()
        self.nothing_is_left(port, ranks)
        # A network that is cut may end a process in MPI_Init: UCX's device is gone, and MPICH calls exit().
        ended = [r for r, p in enumerate(ranks) if self.fault == "cut" and "Fatal error in internal_Init" in p.log.read_text()]
        others = rf"rank (0|{self.victim})\b" if 0 in ended else self.others
        for r, p in enumerate(ranks):
            if r in ended or (gone and p is victim):
                continue
            said = message([p])
            check(p.returncode == 1, f"rank {r} ended with {p.returncode}:", said)
            check(re.fullmatch(NAME + r".*(\n  in .*)*", said), f"rank {r} says:", said)
            if p is victim:
                check(re.search(self.own, said), f"the victim says: {said}, not: {self.own}")
            else:
                check(re.match(NAME + others, said), f"rank {r} says: {said}, not: {others}")
                self.first_error = self.first_error or said.splitlines()[0][len(NAME):]
        limit = MARGIN + (self.deadline if self.when == "start" and self.deadline == FORM else 0) + (self.silence if self.silence == SILENCE else 0)
        check(self.seconds < limit, f"it took {self.seconds:.1f} s to end, more than {limit} s")

    def nothing_is_left(self, port, ranks):
        """But for what a dead rank 0 could not remove."""
        check(self.cable or not listened(port), "the port of rank 0 is still taken")
        check(not self.alive(), "processes stay behind:", self.alive())
        self.litter = len(os.listdir(self.shared))
        check(self.when in ("start", "MPI_Init") or not os.listdir(self.shared), "shared memory stays behind:", os.listdir(self.shared))
        names = set(os.listdir(self.run))
        wanted = {f"job_iter_{n}.{end}" for n in self.states() for end in ("caffemodel", "solverstate")}
        dead = self.victim == 0 and self.hit in (kill, stop)
        in_work = {n for n in names - wanted if re.fullmatch(r"job_iter_\d+\.(caffemodel|\w+\.partial)", n)} if dead else set()
        self.half_written = len(in_work)
        folders = {n for n in names if (self.run / n).is_dir()}
        check(names == wanted | in_work | folders, "files:", sorted(names ^ (wanted | folders)))
        for n in folders:  # the test put it there
            (self.run / n).rmdir()

    def alive(self):
        """All that was started in this case, and what that started: the names of its files are in their environment."""
        found = []
        for p in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if str(self.shared).encode() in (p / "environ").read_bytes():
                    found.append(p.name)
        return found

    def restart(self):
        """From the newest snapshot, if there is one, to the end."""
        states, port = self.states(), free_port()
        solver = self.solver(0)
        ranks = [self.start(r, f"127.0.0.1:{port}", solver, "--snapshot=auto", "--deadline=60", "--silence=30") for r in range(self.ranks)]
        self.orderly_end(ranks)
        said = ranks[0].log.read_text()
        check(("Resuming from" in said) == bool(states), "the restart says:", said)
        check("passed over" not in said and (not states or f"_iter_{states[-1]}.solverstate" in said), "the newest snapshot is not used:", said)
        self.nothing_of_the_dead()

    def nothing_of_the_dead(self):
        check(not self.partial(), "left:", self.partial())
        models = sorted(int(re.findall(r"_iter_(\d+)\.", p.name)[0]) for p in self.run.glob("*.caffemodel"))
        check(set(models) - set(self.states()) <= {max(models)} or self.victim == 0, "models without a state:", models)

    def orderly_end(self, ranks):
        for r, p in enumerate(ranks):
            p.wait(120)
            check(p.returncode == 0, f"rank {r} of an undisturbed job ended with {p.returncode}:", message([p]))
        bits = (self.run / f"job_iter_{ITERATIONS}.caffemodel").read_bytes()
        check(self.strategy != "synchronous" or bits == undisturbed.setdefault((self.ranks, self.here), bits), "other bits than those of an undisturbed run")

    def line(self):
        return f"{self.fault:22} {self.when:8} {self.victim} of {self.ranks}  {self.seconds:5.1f} s  {self.first_error[:150]}"


def message(processes):
    """What they said in the end: the lines of their logs that are no log lines."""
    return "\n".join(l for p in processes for l in p.log.read_text().splitlines() if not re.match(r"[IW]\d{4} |\[[\d.]+\] .* UCX ", l))


def mpich_files():
    return {name for name in os.listdir("/dev/shm") if name.startswith(("mpich_shar", "ucx_shm"))}


undisturbed = {}  # processes and ranks in each -> the bits of the trained model


# Faults.
def kill(case, victim, address, solver):
    victim.kill()


def stop(case, victim, address, solver):
    victim.send_signal(signal.SIGSTOP)


def cut(case, victim, address, solver):
    case.cable.cut()


def in_the_way(case, victim, address, solver):
    """The next snapshots cannot be written: folders have their names."""
    at = case.states()[-1]
    for n in range(at + 2, at + 200):
        with contextlib.suppress(FileExistsError):  # it is being written: the next one, then
            (case.run / f"job_iter_{n}.solverstate.partial").mkdir()


def stranger(case, victim, address, solver):
    """One that would be a rank, but has not the secret: it is turned away, the job goes on and ends as ever."""
    begun = time.monotonic()
    p = case.start(case.victim, address, solver, "--deadline=1", secret=WRONG, log="stranger.log")
    p.wait(60)
    case.seconds = time.monotonic() - begun
    case.first_error = message([p])[len(NAME):]
    check(p.returncode == 1 and re.match(NAME + r"rank \d ", message([p])), "the stranger:", message([p]))
    case.orderly_end(case.processes[:case.ranks])
    case.nothing_is_left(int(address.split(":")[1]), case.processes)


def cases():
    short = {"silence": SILENCE}
    for ranks in (2, 3):
        yield Case("none", "start", 0, ranks, every=200, hit=lambda case, *_: case.orderly_end(case.processes), ends=False)
    if not OVER_MPI:
        yield Case("none, 2 x 2 ranks", "start", 0, 2, every=200, here=2, hit=lambda case, *_: case.orderly_end(case.processes), ends=False)
    for ranks, victim in ((2, 0), (2, 1), (3, 0), (3, 2)):
        for when in ("start", "step", "snapshot"):
            limits = {"deadline": FORM} if when == "start" else {}
            yield Case("kill -9", when, victim, ranks, hit=kill, **limits)
            yield Case("SIGSTOP", when, victim, ranks, hit=stop, **short, **limits)
            if (ranks, victim) != (2, 1):  # with two ranks both ends are alike
                others = rf"rank {victim}\b"
                yield Case("cut", when, victim, ranks, hit=cut, own=NAME + "rank [^%d]" % victim, others=others, **short, **limits)
        yield Case("throws: data cut off", "start", victim, ranks, wrong={"data": "cut off"}, own="truncated")
        if victim != 0:
            yield Case("throws: other solver", "start", victim, ranks, wrong={"base_lr": 0.03}, own=f"rank {victim} has another solver")
        yield Case("throws: bad label", "step", victim, ranks, wrong={"data": "bad"}, own="label", every=3)
        yield Case("wrong secret", "start", victim, ranks, wrong={"secret": WRONG}, deadline=FORM,
                   own="secret", others=rf"rank {victim}\b")
    for ranks, victim in ((2, 0), (2, 1), (3, 2)) if OVER_MPI else ():
        for fault, hit in (("kill -9", kill), ("SIGSTOP", stop), ("cut", cut)):
            yield Case(fault, "MPI_Init", victim, ranks, hit=hit, own=NAME + "rank [^%d]" % victim, silence=SILENCE)
    for strategy in ("local_sgd", "easgd", "eamsgd", "downpour", "bounded_delay"):  # they end; with which bits is left open
        for victim in (0, 2):
            yield Case(f"kill -9, {strategy}", "step", victim, 3, hit=kill, strategy=strategy)
    if not OVER_MPI:  # threads of two processes
        for victim in (0, 1):
            yield Case("kill -9, 2 x 2 ranks", "step", victim, 2, hit=kill, here=2, others=rf"between processes: rank {victim}\b")
    yield Case("SIGSTOP, 2 is missing", "start", 0, 3, hit=stop, come=2, **short, deadline=FORM)
    for ranks in (2, 3):
        yield Case("throws: cannot write", "snapshot", 0, ranks, hit=in_the_way, own="cannot write")
    yield Case("wrong secret", "step", 1, 2, hit=stranger, ends=False)
    yield Case("wrong secret", "snapshot", 1, 3, hit=stranger, ends=False)


def main():
    global folder
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        (folder / "net.prototxt").write_text(NET)
        for name in ("good", "bad", "cut off"):
            (folder / name).mkdir()
            write_data(folder / name, bad_labels={"bad": range(100, 104)}.get(name, ()))
        os.truncate(folder / "cut off" / "small-images-idx3-ubyte", 20000)
        chosen = [c for c in cases() if c.fault.startswith("none") or all(w in c.line() for w in words if not w.startswith("seed="))]
        print(f"random moments of seed {random_seed}")
        begun = time.monotonic()
        before = mpich_files()
        failures = [f for f in map(Case.play, (c for c in chosen if c.fault.startswith("none"))) if f]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # most cases wait for most of their time
            failures += [f for f in pool.map(Case.play, (c for c in chosen if not c.fault.startswith("none"))) if f]
        until = time.monotonic() + 5  # another program's MPI may be at its start
        while mpich_files() - before and time.monotonic() < until:
            time.sleep(0.1)
        failures += [f"in /dev/shm: {name}" for name in mpich_files() - before]
    for c in chosen:
        print(c.line())
    if OVER_MPI:
        print(f"{sum(c.litter for c in chosen)} files of UCX were left by ranks that ended in MPI_Init")
    print(f"{sum(c.half_written > 0 for c in chosen)} times rank 0 died and left half a snapshot")
    skipped = sum(c.skipped is not None for c in chosen)
    print(f"{len(chosen)} cases in {time.monotonic() - begun:.0f} s, {len(failures)} failures, {skipped} skipped")
    print("\n".join(failures))
    sys.exit(bool(failures))


main()

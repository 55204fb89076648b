# SPDX-License-Identifier: Apache-2.0
"""What a test starts, as one tree of processes that ends with it.

    processes.guard()                    # first of all: nothing that the test starts outlives it, however it ends
    server = processes.start(["java", "..."])
    before = processes.Traces("/some/folder")
    ...
    before.nothing_new()                 # no process, no listening port, no file

"What runs on behalf of this test" has an answer that no orphan escapes, because orphans stay in the tree.
"""
import contextlib, ctypes, os, re, signal, subprocess, sys, time
from pathlib import Path

_libc = ctypes.CDLL(None)
_PDEATHSIG, _SUBREAPER = 1, 36  # of prctl


def until(condition, deadline, what):
    """Waits until condition() is true and gives its value; `what` says in the error what did not happen."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not in {deadline} s: {what() if callable(what) else what}")
        time.sleep(0.05)


def listening(pid="self"):
    """{inode: port} of all TCP sockets that wait for connections in the network of a process, whosever they are."""
    found = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                field = line.split()
                if field[3] == "0A":  # LISTEN
                    found[field[9]] = int(field[1].rsplit(":", 1)[1], 16)
    return found


class Process:
    """A process known by pid and start time, so that a pid used again is not taken for it."""

    def __init__(self, pid):
        self.pid = pid
        self.state, self.parent, self.start = self._stat()
        self.command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]

    def _stat(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return fields[0], int(fields[1]), int(fields[19])

    @property
    def alive(self):
        try:
            state, _, start = self._stat()
        except OSError:
            return False
        return start == self.start and state != "Z"

    def signal(self, number):
        """SIGKILL, SIGSTOP, ...; False if the process is gone already."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self):
        return self.signal(signal.SIGKILL)

    def runs(self, name):
        """Is `name` the program, the Java class or the Python script that it runs?"""
        return any(word.rsplit("/", 1)[-1].rsplit(".", 1)[-1] == name or word.rsplit("/", 1)[-1] == name for word in self.command)

    def listens(self):
        """Its TCP ports that wait for connections."""
        inodes = set()
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
        return {port for inode, port in listening(self.pid).items() if f"socket:[{inode}]" in inodes}

    def __eq__(self, other):
        return (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self):
        return hash((self.pid, self.start))

    def __repr__(self):
        main = next((w for w in self.command if w.startswith("org.apache.") or w.endswith("crema_executor") or w.endswith(".py")), None)
        return f"{self.pid} {main or ' '.join(self.command)[:80]}"


def descendants(pid):
    """All living processes below `pid`, in no order."""
    children, found = {}, []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                p = Process(int(name))
                children.setdefault(p.parent, []).append(p)
    stack = [pid]
    while stack:
        for p in children.get(stack.pop(), []):
            stack.append(p.pid)
            if p.state != "Z":
                found.append(p)
    return found


_tree = None  # the process below which all is ours: guard()'s


def guard():
    """Splits the program: this call returns in a child, and the parent stays behind to see that nothing does. Orphans (the
    engine of a killed executor, a container of YARN in a session of its own) become the parent's children instead of init's.
    When the child ends, whether by itself or by kill -9, the parent kills all that is left of the tree; leftovers of a child
    that had succeeded are a failure. A parent that is killed takes the child along, and that its servers (see start)."""
    global _tree
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    _libc.prctl(_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _libc.prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _tree = parent
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    status = None
    while status is None:
        pid, ended = os.waitpid(-1, 0)  # reaps the orphans too
        if pid == child:
            status = os.waitstatus_to_exitcode(ended)
    left = descendants(parent)
    with contextlib.suppress(ChildProcessError):  # raised when nobody is left
        while True:
            for p in descendants(parent):
                p.kill()
            os.waitpid(-1, 0)  # its children become ours
    for p in left:
        print(f"left behind by the test, killed now: {p}", file=sys.stderr)
    os._exit(status if status > 0 else 1 if status < 0 or left else 0)


def ours():
    """All that this test has started and that still runs."""
    assert _tree, "the test has to call guard() first"
    return [p for p in descendants(_tree) if p.pid != os.getpid()]


def start(command, **options):
    """A child that dies with this process (with the thread that started it, to be exact)."""
    return subprocess.Popen([str(c) for c in command], preexec_fn=lambda: _libc.prctl(_PDEATHSIG, signal.SIGKILL), **options)


def stop(children):
    """TERM, and KILL for those that take longer than ten seconds."""
    for c in children:
        c.terminate()
    for c in children:
        try:
            c.wait(10)
        except subprocess.TimeoutExpired:
            c.kill()
            c.wait()


class Traces:
    """What there is now: our processes, the ports they listen on, the files in some folders. `nothing_new` asserts later
    that no more than that is there."""

    def __init__(self, *folders, watched=""):
        """`watched`: a pattern, in the paths of those files that count; all do unless it is given."""
        self.folders, self.watched = [Path(f) for f in folders], watched
        self.before = self._now()

    def _now(self):
        running = ours()
        seen = {f"process {p}" for p in running} | {f"port {port} of {p}" for p in running for port in p.listens()}
        # os.walk does not mind what is removed meanwhile.
        files = {f"{where}/{name}" for folder in self.folders for where, folders, names in os.walk(folder) for name in folders + names}
        return seen | {f"file {f}" for f in files if re.search(self.watched, f)}

    def new(self):
        return sorted(self._now() - self.before)

    def nothing_new(self, deadline=10):
        until(lambda: not self.new(), deadline, lambda: "all is gone; left are:\n  " + "\n  ".join(self.new()))

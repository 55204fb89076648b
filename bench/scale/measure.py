# SPDX-License-Identifier: Apache-2.0
"""Runs step_bench, alone on the machine as far as that can be seen."""
import fcntl, json, os, subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path

nets = Path(__file__).parent.parent / "train"
MOST_WAITED, TRIES = {False: 0.04, True: 0.08}, 4  # with a cable, the system's own work for it counts too


@contextmanager
def locked(path):
    """Holds an exclusive lock of a file, on machines where several people agreed on one."""
    if not path:
        yield
        return
    with open(path, "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Bench:
    def __init__(self, build, lock=None, prefix=""):
        self.program, self.lock, self.prefix = str(Path(build) / "bench" / "step_bench"), lock, prefix.split()

    def __call__(self, net, *args, cable=None):
        """The answer for two ranks: threads of one process, or a process on a core of its own at each end of a cable.
        Repeated while a rank waits for its processor for too long; the quietest run counts."""
        best = None
        for _ in range(TRIES):
            with locked(self.lock):
                answer = self.run(net, args, cable)
            if best is None or answer["waited"] < best["waited"]:
                best = answer
            print(f"{net} {' '.join(map(str, args))}: waited {100 * answer['waited']:.1f} %", file=sys.stderr, flush=True)
            if answer["waited"] <= MOST_WAITED[cable is not None]:
                break
            time.sleep(2)
        return best

    def run(self, net, args, cable):
        command = [*self.prefix, self.program, str(nets / f"{net}.prototxt"), *map(str, args)]
        ranks = [subprocess.Popen([*(cable.command(rank) if cable else []), *command, *more], stdout=subprocess.PIPE, text=True,
                                  preexec_fn=(lambda core=rank: os.sched_setaffinity(0, {core})) if cable else None)
                 for rank, more in enumerate(self.worlds(cable))]
        out = [p.communicate()[0] for p in ranks]
        if any(p.returncode for p in ranks):
            sys.exit(f"did not run: {' '.join(command)}")
        return json.loads(out[0])

    @staticmethod
    def worlds(cable):
        if not cable:
            return [[]]
        secret = os.urandom(16).hex()
        return [["--rank", str(r), "--size", "2", "--address", f"{cable.hosts[0]}:4711", "--secret", secret] for r in range(2)]

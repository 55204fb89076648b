#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All-reduce between 2 ranks of one machine: crema's communicators beside MPICH and Open MPI, in one run.

    python3 bench/comm/run.py BUILD [--rounds 7] [--prefix COMMAND]        --prefix: what comes before commands ("nice -n -15")

Each round runs every communicator once, one after the other; a ratio is formed within a round, and the table shows the
medians with the smallest and largest round. MPI is given its best case: blocking MPI_Allreduce, which spins. `copy` is a
yardstick: two threads that each copy half of the data from the other's memory, and add nothing.
"""
import argparse, secrets, shutil, socket, statistics, subprocess
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build", type=Path)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--prefix", default="")
arguments = parser.parse_args()
folder = arguments.build / "bench"
LAUNCH = {"mpich": ["mpiexec.mpich", "-n", "2"], "openmpi": ["mpirun.openmpi", "--allow-run-as-root", "-n", "2"]}


def seconds(*commands):
    """Runs the commands together; the first prints sizes and seconds."""
    commands = [[*arguments.prefix.split(), *map(str, c)] for c in commands]
    processes = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for c in commands]
    outputs = [p.communicate(timeout=300)[0] for p in processes]
    if any(p.returncode for p in processes):
        raise SystemExit(f"{commands[0]} failed")
    found = {}
    for line in outputs[0].splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdigit():
            found[int(words[0])] = float(words[1])
    return found


def tcp():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    secret = secrets.token_hex(16)
    return seconds(*[[folder / "comm_bench", "tcp", r, 2, address, secret] for r in range(2)])


KINDS = {"threads": lambda: seconds([folder / "comm_bench", "threads", 2]), "tcp": tcp, "copy": lambda: seconds([folder / "comm_bench", "copy"])}
for name, launch in LAUNCH.items():
    program = folder / f"comm_bench_{name}"
    if program.exists() and shutil.which(launch[0]):
        KINDS[name] = lambda l=launch, p=program: seconds([*l, p, "mpi"])
        KINDS[f"crema over {name}"] = lambda l=launch, p=program: seconds([*l, p, "crema"])
    else:
        print(f"left out: {name}")

rounds = [{name: measure() for name, measure in KINDS.items()} for _ in range(arguments.rounds)]
peers = [name for name in LAUNCH if name in KINDS]


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


print("\nGB/s of the data reduced, median")
print(f"{'MB':>8} " + " ".join(f"{n:>20}" for n in KINDS))
for size in rounds[0]["threads"]:
    print(f"{size / 2**20:8.3f} " + " ".join(f"{statistics.median(size / r[n][size] / 1e9 for r in rounds):20.2f}" for n in KINDS))
if peers:
    print(f"\ntimes as fast as the better MPI of the round\n{'MB':>8} {'threads':>20} {'tcp':>20}")
    for size in rounds[0]["threads"]:
        ratio = lambda name: spread([min(r[p][size] for p in peers) / r[name][size] for r in rounds])
        print(f"{size / 2**20:8.3f} {ratio('threads'):>20} {ratio('tcp'):>20}")

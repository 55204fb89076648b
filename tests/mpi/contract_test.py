#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the contract of all communicators in several processes.

    contract_test.py mpich|openmpi PROGRAM     under that MPI's launcher
    contract_test.py world PROGRAM             started by hand, MPICH's library finding the others over a World
"""
import os, secrets, shutil, socket, subprocess, sys

how, program = sys.argv[1:3]
LAUNCHERS = {"mpich": ["mpiexec.mpich"], "openmpi": ["mpirun.openmpi", "--oversubscribe", "--allow-run-as-root"]}
LIMIT = 500  # seconds


def under_launcher():
    launcher = LAUNCHERS[how]
    if not shutil.which(launcher[0]):
        print(f"skipped: there is no {launcher[0]}")
        sys.exit(77)
    return [subprocess.run([*launcher, "-n", "4", program], timeout=LIMIT).returncode]


def by_hand(ranks, *more):
    with socket.socket() as s:  # a free port; rank 0 listens on it a moment later
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    secret = secrets.token_hex(16)
    processes = [subprocess.Popen([program, str(r), str(ranks), address, secret, *more]) for r in range(ranks)]
    codes = [p.wait(timeout=LIMIT) for p in processes]
    left = [f for f in os.listdir("/dev/shm") if f.startswith("mpich_shar")]
    assert not left, f"files stay behind in /dev/shm: {left}"
    return codes


codes = by_hand(3) + by_hand(3, "absent") if how == "world" else under_launcher()
sys.exit(any(codes))

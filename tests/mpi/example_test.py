#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The MPI example as a user runs it: Fashion-MNIST on 2 processes, under the launcher and, with MPICH, started by hand; then
a rank is killed.

    example_test.py mpich|openmpi PROGRAM FASHION_MNIST_EXAMPLE
"""
import os, re, secrets, shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

how, program, example = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3]
DATA = Path("/usr/share/datasets/fashion-mnist")
LAUNCH = {"mpich": ["mpiexec.mpich", "-n", "2"], "openmpi": ["mpirun.openmpi", "--oversubscribe", "--allow-run-as-root", "-n", "2"]}[how]
if not DATA.exists() or not shutil.which(LAUNCH[0]):
    print(f"skipped: {DATA} or {LAUNCH[0]} is not here")
    sys.exit(77)


def solver(folder, iterations):
    shutil.copy(Path(example) / "lenet_train_test.prototxt", folder)
    text = (Path(example) / "lenet_solver.prototxt").read_text()
    for name, value in (("max_iter", iterations), ("test_interval", iterations), ("snapshot", iterations), ("display", 10)):
        text = re.sub(rf"(?m)^{name}: \d+", f"{name}: {value}", text)
    (folder / "solver.prototxt").write_text(text)
    return "solver.prototxt"


def by_hand(folder, ranks=2):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    environment = {**os.environ, "CREMA_SECRET": secrets.token_hex(16)}
    return [subprocess.Popen([program, "solver.prototxt", DATA, address, str(r), str(ranks)], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
            for r in range(ranks)]


def accuracy(log):
    return float(re.findall(r"accuracy = ([\d.]+)", log)[-1])


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    run = subprocess.run([*LAUNCH, str(program), solver(folder, 200), str(DATA)], cwd=folder, capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr
    print(f"{' '.join(LAUNCH)}: accuracy {accuracy(run.stderr)} after 200 iterations of 2 x 64")
    assert accuracy(run.stderr) > 0.7
    weights = (folder / "lenet_iter_200.caffemodel").read_bytes()

    if how == "mpich":
        os.remove(folder / "lenet_iter_200.caffemodel")
        ranks = by_hand(folder)
        logs = [p.communicate(timeout=250)[1] for p in ranks]
        assert [p.returncode for p in ranks] == [0, 0], logs
        assert (folder / "lenet_iter_200.caffemodel").read_bytes() == weights, "the same bits with and without mpirun"
        print("without mpirun: the same bits")

        solver(folder, 100000)
        for victim in (1, 0):
            ranks = by_hand(folder)
            for line in ranks[0].stderr:
                if "Iteration 20 " in line:
                    break
            ranks[victim].send_signal(signal.SIGKILL)
            start = time.monotonic()
            log = ranks[1 - victim].communicate(timeout=60)[1]
            took = time.monotonic() - start
            ranks[victim].communicate()
            assert ranks[1 - victim].returncode == 1 and f"rank {victim} was lost" in log, log
            assert took < 20
            print(f"rank {victim} killed: the other ended after {took:.2f} s")
        left = [f for f in os.listdir("/dev/shm") if f.startswith("mpich_shar")]
        assert not left, f"files stay behind: {left}"

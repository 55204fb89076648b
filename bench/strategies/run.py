#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of each strategy after equally many samples: the quickstart's LeNet on Fashion-MNIST; prints a table.

    run.py CREMA [--data FOLDER] [--epochs 2] [--ranks 1,2,4] [--seeds 1] [--strategies "synchronous;easgd"] [--through COMMAND]

FOLDER holds Fashion-MNIST's four files. Ranks are threads of one process: those that train; a parameter server comes on top.
Each has a batch of 64 / ranks, so that an iteration takes 64 samples of all. The learning rate is the example's, falling to
0 over the run; downpour's is divided by the ranks, because its server takes a whole step for each push. COMMAND stands before
each run, such as "flock -x FILE". Several seeds: their mean, and from the least to the most in brackets.
"""
import argparse, re, shlex, statistics, subprocess, sys, tempfile, time
from pathlib import Path

example = Path(__file__).parent.parent.parent / "examples" / "fashion_mnist"
STRATEGIES = {
    "synchronous": [],
    "synchronous, bfloat16": ["--strategy=synchronous", "--bfloat16"],
    "local_sgd": ["--strategy=local_sgd", "--tau=4"],
    "easgd": ["--strategy=easgd", "--tau=4"],  # alpha: the default, 0.9 / ranks
    "eamsgd": ["--strategy=eamsgd", "--tau=4"],
    "downpour": ["--strategy=downpour", "--n-fetch=1", "--n-push=1"],
    "bounded_delay": ["--strategy=bounded_delay", "--delay=1"],
}
SAMPLES, BATCH, RATE = 60000, 64, 0.02


def changed(text, **values):
    for key, value in values.items():
        text, n = re.subn(rf"\b{key}: \S+", f"{key}: {value}", text)
        assert n, key
    return text


def train(a, folder, name, ranks, seed):
    """Accuracy in per cent."""
    iterations = round(a.epochs * SAMPLES / BATCH)
    served = name in ("downpour", "bounded_delay")
    rate = RATE / ranks if name == "downpour" else RATE
    net = (example / "lenet_train_test.prototxt").read_text().replace(f"batch_size: {BATCH}", f"batch_size: {BATCH // ranks}")
    (folder / "lenet_train_test.prototxt").write_text(net)
    solver = changed((example / "lenet_solver.prototxt").read_text(), base_lr=rate, max_iter=iterations, test_interval=iterations,
                     snapshot=0, random_seed=seed) + "test_initialization: false\nsnapshot_after_train: false\n"
    (folder / "solver.prototxt").write_text(solver)
    begun = time.monotonic()
    run = subprocess.run([*shlex.split(a.through), a.crema, "train", f"--solver={folder / 'solver.prototxt'}", f"--data-root={a.data}",
                          f"--ranks={ranks + served}", *STRATEGIES[name]], stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{name} on {ranks}: {run.stderr[-1000:]}")
    accuracy = 100 * float(re.findall(r"accuracy = ([\d.]+)", run.stderr)[-1])
    print(f"{name} on {ranks}, seed {seed}: {accuracy:.2f} % in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return accuracy


def cell(values):
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} to {max(values):.2f})"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("crema")
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    p.add_argument("--epochs", type=float, default=2)
    p.add_argument("--ranks", default="1,2,4")
    p.add_argument("--seeds", default="1")
    p.add_argument("--strategies", default=";".join(STRATEGIES), help="separated by semicolons")
    p.add_argument("--through", default="")
    a = p.parse_args()
    ranks, seeds = ([int(x) for x in text.split(",")] for text in (a.ranks, a.seeds))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in a.strategies.split(";"):
            rows.append([name] + [cell([train(a, Path(temporary), name, n, s) for s in seeds]) for n in ranks])
    print("| strategy | " + " | ".join(f"{n} rank{'s' * (n > 1)}" for n in ranks) + " |\n| --- |" + " --- |" * len(ranks))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()

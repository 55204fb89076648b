#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of train_bench: the same nets in PyTorch, from the same weights and data, answering the same lines.

    peer.py lenet|cifar10_quick|caffenet THREADS eager|channels_last|compile FOLDER [--no-dropout]
"""
import sys, time
from pathlib import Path

import numpy as np
import torch
from torch import nn

name, threads, mode, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
dropout = "--no-dropout" not in sys.argv
torch.set_num_threads(threads)


def pool(kind, k, s):
    return kind(k, s, ceil_mode=True)


def lenet():
    return [nn.Conv2d(1, 20, 5), pool(nn.MaxPool2d, 2, 2), nn.Conv2d(20, 50, 5), pool(nn.MaxPool2d, 2, 2), nn.Flatten(),
            nn.Linear(800, 500), nn.ReLU(True), nn.Linear(500, 10)]


def cifar10_quick():
    return [nn.Conv2d(3, 32, 5, padding=2), pool(nn.MaxPool2d, 3, 2), nn.ReLU(True),
            nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(True), pool(nn.AvgPool2d, 3, 2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(True), pool(nn.AvgPool2d, 3, 2),
            nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10)]


def caffenet():
    norm = lambda: nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
    drop = [nn.Dropout(0.5)] if dropout else []
    return [nn.Conv2d(3, 96, 11, 4), nn.ReLU(True), pool(nn.MaxPool2d, 3, 2), norm(),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(True), pool(nn.MaxPool2d, 3, 2), norm(),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(True), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(True), pool(nn.MaxPool2d, 3, 2), nn.Flatten(),
            nn.Linear(9216, 4096), nn.ReLU(True), *drop, nn.Linear(4096, 4096), nn.ReLU(True), *drop, nn.Linear(4096, 1000)]


shapes = {"lenet": (64, 1, 28, 28), "cifar10_quick": (100, 3, 32, 32), "caffenet": (16, 3, 227, 227)}
layers = {"lenet": lenet, "cifar10_quick": cifar10_quick, "caffenet": caffenet}[name]
model = nn.Sequential(*layers())
data = torch.from_numpy(np.fromfile(folder / "data.bin", np.float32).reshape(shapes[name]))
label = torch.from_numpy(np.fromfile(folder / "label.bin", np.float32)).long()
weights = np.fromfile(folder / "weights.bin", np.float32)
parameters = list(model.parameters())
rates = []


def reset():
    """The initial weights, in the order in which train_bench wrote them."""
    at = 0
    rates.clear()
    for p, line in zip(parameters, (folder / "weights.txt").read_text().splitlines(), strict=True):
        words = line.split()
        assert tuple(map(int, words[2:])) == tuple(p.shape), (line, p.shape)
        rates.append(float(words[1]))
        with torch.no_grad():
            p.copy_(torch.from_numpy(weights[at:at + p.numel()].reshape(p.shape)))
        at += p.numel()
    groups = [{"params": [p], "lr": 0.01 * r} for p, r in zip(parameters, rates)]
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=5e-4)


optimizer = reset()
if mode == "channels_last":
    model, data = model.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
forward = torch.compile(model) if mode == "compile" else model


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(forward(data), label)
    loss.backward()
    optimizer.step()
    return loss


step()
print(torch.__version__, flush=True)
for line in sys.stdin:
    what, n = line.split()
    if what == "losses":
        optimizer = reset()
        print(" ".join(f"{step().item():.9g}" for _ in range(int(n))), flush=True)
    else:
        best = 1e9
        for _ in range(int(n)):
            start = time.perf_counter()
            step()
            best = min(best, time.perf_counter() - start)
        print(f"{best * 1e3:.6f}", flush=True)

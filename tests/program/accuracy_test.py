#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every strategy on Fashion-MNIST, for 300 iterations, beside one rank: what bench/strategies measures over whole epochs, short.

    accuracy_test.py CREMA

2 ranks may stay MARGIN per cent behind one rank that has seen as many samples; synchronous SGD on 2 and on 4, which takes the same steps with
other samples, half of that.
"""
import sys, tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.append(str(Path(__file__).parents[2] / "bench" / "strategies"))
from run import BATCH, SAMPLES, STRATEGIES, train

MARGIN = 4
DATA = Path("/usr/share/datasets/fashion-mnist")
if not DATA.exists():
    print("Fashion-MNIST (Debian: dataset-fashion-mnist) is not here")
    sys.exit(77)
a = SimpleNamespace(crema=sys.argv[1], data=DATA, epochs=300 * BATCH / SAMPLES, through="")
failures = 0
with tempfile.TemporaryDirectory() as temporary:
    alone = train(a, Path(temporary), "synchronous", 1, 1)
    for name, ranks in [*((s, 2) for s in STRATEGIES), ("synchronous", 4)]:
        margin = MARGIN / 2 if name.startswith("synchronous") else MARGIN
        if train(a, Path(temporary), name, ranks, 1) < alone - margin:
            print(f"{name} on {ranks} ranks is more than {margin} % behind one rank")
            failures += 1
print(f"one rank: {alone:.2f} %; {failures} failures")
sys.exit(alone < 70 or failures > 0)

# SPDX-License-Identifier: Apache-2.0
"""Trainings that fail each time: adapter_test.py has the others."""
import re, unittest

from adapter_case import *
from crema_spark import CremaError

# In an engine's place, on executors alone: the first engine of each attempt logs 150 lines after a while, and is killed.
KILLED = """#!/bin/sh
if ! tr '\\0' '\\n' < /proc/$PPID/cmdline | grep -q CoarseGrained; then exec %(engine)s "$@"; fi
for i in 0 1 2 3 4 5 6 7 8 9; do mkdir %(folder)s/$i 2> /dev/null && break; done
[ $((i %% 2)) = 0 ] && (sleep 1.5; seq -f 'line %%g' 150 >&2; kill -9 $$) &
exec %(engine)s "$@"
"""


def script(name, text):
    path = folder / f"{name}.sh"
    (folder / name).mkdir()
    path.write_text(text % {"engine": engine, "folder": folder / name})
    path.chmod(0o755)
    return str(path)


@unittest.skipUnless(master.startswith("local-cluster"), "its engines are known by their executors")
class Failures(unittest.TestCase):
    def test_retries_are_exhausted(self):
        """Two attempts; shown is the engine that was killed, not the one that lost it, with the last 100 lines of its log."""
        job = crema("killed", conf=solver("killed", 10 ** 7, test_interval=10 ** 8), engine=script("killed", KILLED), retries=1)
        with self.assertRaises(CremaError) as caught:
            job.train(train)
        first, _, tail = str(caught.exception).partition("\n  the last lines of its log:\n    ")
        self.assertRegex(first, r"^rank \d on (127.0.0.1|localhost): the engine was ended by signal 9$")
        lines = tail.split("\n    ")
        self.assertEqual((len(lines), lines[-1]), (100, "line 150"))
        self.assertEqual([line for line in lines if line.startswith("line ")], [f"line {i}" for i in range(151 - sum(n.startswith("line ") for n in lines), 151)])
        self.assertEqual(len(list((folder / "killed").iterdir())), 4)  # engines: two attempts of two

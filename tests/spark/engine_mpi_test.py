# SPDX-License-Identifier: Apache-2.0
"""crema_executor_mpi: engines whose world is MPI's, on this machine and on one that has nothing but a C library.

    engine_mpi_test.py CREMA_EXECUTOR_MPI CREMA
"""
import os
import re
import subprocess
import tempfile

from engine import form_world
from engine_case import BATCH, EXECUTOR, Case, main, solver

PACK = os.path.join(os.path.dirname(__file__), "../../examples/spark_executor/pack_mpi.sh")
# Mounts of a namespace of its own: they end with the engine.
BARE = 'for d in dev proc sys tmp; do mount --rbind /$d "$0/$d" || exit; done; exec chroot "$0" "$@"'


def bare_host(folder, archive):
    """A root folder with the archive in /engine, the loader and the C library."""
    for d in ("dev", "proc", "sys", "tmp", "engine"):
        os.makedirs(os.path.join(folder, d))
    subprocess.run(["tar", "-xzf", archive, "-C", folder + "/engine"], check=True)
    engine = folder + "/engine/crema_executor_mpi"
    libraries = re.findall(r"(?:=> )?(/\S+) \(", subprocess.run(["ldd", EXECUTOR], capture_output=True, text=True, check=True).stdout)
    for path in libraries:
        if re.match(r"(ld-linux.*|lib(c|m|dl|rt|pthread|resolv))\.so", os.path.basename(path)):
            os.makedirs(folder + os.path.dirname(path), exist_ok=True)
            subprocess.run(["cp", "-L", path, folder + path], check=True)
    assert os.path.exists(engine)


class OverMpi(Case):
    def test_two_engines_are_two_ranks(self):
        weights, _ = self.alone("--ranks=2")
        engines = self.start(2)
        self.launch(engines)
        form_world(engines, connection="MPI")
        self.assertSameWeights(self.finish(engines)[0], weights)

    def test_two_engines_of_two_ranks(self):
        engines = self.start(2)
        self.launch(engines, ranks_here=2)
        form_world(engines, connection="MPI")
        self.finish(engines)
        self.assertEqual(engines[0].all("start")[0]["samples_per_iteration"], 4 * BATCH)

    def test_a_killed_engine_is_named(self):
        self.write("endless.prototxt", solver("rows.prototxt", max_iter=10 ** 6))
        engines = self.start(2)
        self.launch(engines, solver="endless.prototxt")
        form_world(engines, connection="MPI")
        engines[0].event("step")
        engines[1].process.kill()
        self.assertEqual(engines[0].end(), 3)
        self.assertIn("rank 1 was lost", engines[0].all("fail")[0]["why"])

    def test_packed_for_a_host_without_mpi(self):
        weights, _ = self.alone("--ranks=2")
        with tempfile.TemporaryDirectory(prefix="bare-host-") as folder:
            subprocess.run(["bash", PACK, EXECUTOR, folder + "/crema_mpi.tgz"], check=True, capture_output=True)
            bare = folder + "/bare"
            bare_host(bare, folder + "/crema_mpi.tgz")
            subprocess.run(["cp", os.path.join(os.path.dirname(EXECUTOR), "crema_executor"), bare + "/engine"], check=True)
            for name, connection in (("crema_executor", "TCP"), ("crema_executor_mpi", "MPI")):
                engines = self.start(2, ("unshare", "--mount", "sh", "-c", BARE, bare, "/engine/" + name))
                self.launch(engines)
                form_world(engines, connection=connection)
                self.assertSameWeights(self.finish(engines)[0], weights)

    def test_an_engine_without_mpi_says_what_to_do(self):
        plain = os.path.join(os.path.dirname(EXECUTOR), "crema_executor")
        engines = self.start(2, (plain,))
        self.launch(engines)
        form_world(engines, connection="MPI")
        self.assertEqual([e.end() for e in engines], [1, 1])
        self.assertIn("send crema_executor_mpi", engines[0].all("fail")[0]["why"])


main()

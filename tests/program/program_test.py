#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program `crema`, driven as a user does: train, test, time, flags, errors, signals, and a job that is killed again and again.

    program_test.py CREMA
"""
import random, re, signal, subprocess, sys, tempfile, time, unittest
from pathlib import Path

from small_job import NET, SOLVER, write_data

crema = sys.argv.pop(1)


class Program(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        write_data(self.folder)
        (self.folder / "net.prototxt").write_text(NET)

    def tearDown(self):
        self.temporary.cleanup()

    def solver(self, name, max_iter=300, snapshot=0):
        path = self.folder / f"{name}.prototxt"
        path.write_text(SOLVER.format(max_iter=max_iter, snapshot=snapshot, prefix=self.folder / name))
        return path

    def run_crema(self, *arguments):
        return subprocess.run([crema, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder, timeout=300)

    def files(self, name, iteration):
        return [(self.folder / f"{name}_iter_{iteration}.{end}").read_bytes() for end in ("caffemodel", "solverstate")]

    def test_ranks(self):
        for strategy in ("synchronous", "local_sgd", "easgd", "eamsgd", "downpour", "bounded_delay"):
            out = self.run_crema("train", "-solver", self.solver(strategy, 150), "--ranks=3", f"--strategy={strategy}", "-tau", "4", f"--save={strategy}.caffemodel")
            self.assertEqual(out.returncode, 0, f"{strategy}: {out.stderr}")
            self.assertIn("Optimization Done.", out.stderr)
            scored = self.run_crema("test", "--model=net.prototxt", "-weights", f"{strategy}.caffemodel", "--iterations=0")
            self.assertGreater(float(re.findall(r"accuracy = ([\d.]+)", scored.stderr)[-1]), 0.8, strategy)
        one = self.run_crema("train", "-solver", self.solver("one", 20), "--ranks=1", "--shards=2")
        self.assertEqual(one.returncode, 0, one.stderr)
        for flags, says in ((["--ranks=2", "--strategy=hogwild"], "hogwild"), (["--ranks=4", "--shards=6"], "4 ranks do not divide 6 shards")):
            bad = self.run_crema("train", "-solver", self.solver("bad", 20), *flags)
            self.assertNotEqual(bad.returncode, 0)
            self.assertIn(says, bad.stderr + bad.stdout)

    def test_resuming_with_other_ranks_keeps_the_samples_of_a_step(self):
        def train(batch, ranks, *flags, shards=4):
            (self.folder / "net.prototxt").write_text(NET.replace("batch_size: 16", f"batch_size: {batch}"))
            return self.run_crema("train", "-solver", solver, f"--ranks={ranks}", f"--shards={shards}", *flags)

        loss = lambda out: float(re.findall(r"Iteration 40, loss = ([\d.e-]+)", out.stderr)[-1])
        solver = self.solver("r", max_iter=40, snapshot=20)
        solver.write_text(solver.read_text().replace("display: 100", "display: 20"))
        straight = train(16, 2)
        self.assertEqual(straight.returncode, 0, straight.stderr)
        state = "--snapshot=" + str(self.folder / "r_iter_20.solverstate")
        for ranks, batch in ((4, 8), (1, 32)):
            resumed = train(batch, ranks, state)
            self.assertEqual(resumed.returncode, 0, resumed.stderr)
            self.assertAlmostEqual(loss(resumed), loss(straight), delta=1e-4)
        for ranks, shards, says in ((4, 4, "32 samples per iteration .*, not 64"), (2, 2, "4 shards of the data, not 2")):
            refused = train(16, ranks, state, shards=shards)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, says)

    def test_how_long_ranks_wait_for_each_other_is_a_flag(self):
        out = self.run_crema("train", "-solver", self.solver("t", 20), "--ranks=2", "--strategy=downpour", "-timeout=1e-9")
        self.assertEqual(out.returncode, 1, out.stderr)
        self.assertRegex(out.stderr, "1e-09 s")

    def test_train_test_time(self):
        out = self.run_crema("train", "-solver", self.solver("a"), "--report=a.html", "-save=a.caffemodel")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertRegex(out.stderr, r"solver\.cpp:\d+\] Iteration 100 \(")
        self.assertIn("<svg", (self.folder / "a.html").read_text())
        scored = self.run_crema("test", "--model=net.prototxt", "-weights", "a.caffemodel", "--iterations=0")
        self.assertEqual(scored.returncode, 0, scored.stderr)
        self.assertGreater(float(re.findall(r"accuracy = ([\d.]+)", scored.stderr)[-1]), 0.95)
        timed = self.run_crema("time", "-model=net.prototxt", "-iterations=3")
        self.assertEqual(timed.returncode, 0, timed.stderr)
        for layer in ("conv", "pool", "drop", "ip", "loss"):
            self.assertRegex(timed.stderr, rf" {layer}\tforward: [\d.e-]+ ms\.")
            self.assertRegex(timed.stderr, rf" {layer}\tbackward: [\d.e-]+ ms\.")
        self.assertIn("Average Forward-Backward:", timed.stderr)

    def test_images_to_lmdb_to_training(self):
        """A list of images, trained from as it is, and made into an LMDB with a mean file, as Caffe's users do."""
        pixels = (self.folder / "small-images-idx3-ubyte").read_bytes()[16:]
        labels = (self.folder / "small-labels-idx1-ubyte").read_bytes()[8:]
        (self.folder / "images").mkdir()
        lines = []
        for i, label in enumerate(labels):
            (self.folder / f"images/{i}.pgm").write_bytes(b"P5 12 12 255\n" + pixels[144 * i:144 * (i + 1)])
            lines.append(f"{i}.pgm {label}\n")
        (self.folder / "list.txt").write_text("".join(lines))
        old = 'data_param { source: "small-images-idx3-ubyte"'
        listed = NET.replace('type: "Data"', 'type: "ImageData"').replace(old, 'image_data_param { source: "list.txt" root_folder: "images" is_color: false')
        database = NET.replace(old, 'data_param { source: "small_lmdb" backend: LMDB').replace("scale: 0.00390625", 'scale: 0.00390625 mean_file: "mean.binaryproto"')
        made = self.run_crema("convert", "-gray", "--shuffle", "images/", "list.txt", "small_lmdb")
        if "without the component lmdb" in made.stderr:
            self.skipTest("built without liblmdb")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("Processed 330 files.", made.stderr)
        mean = self.run_crema("mean", "small_lmdb", "mean.binaryproto")
        self.assertEqual(mean.returncode, 0, mean.stderr)
        value = float(re.search(r"mean_value channel \[0\]: ([\d.]+)", mean.stderr).group(1))
        self.assertAlmostEqual(value, sum(pixels) / len(pixels), delta=0.001)
        for name, net in (("listed", listed), ("database", database)):
            (self.folder / "net.prototxt").write_text(net)
            out = self.run_crema("train", "-solver", self.solver(name), f"--save={name}.caffemodel")
            self.assertEqual(out.returncode, 0, out.stderr)
            scored = self.run_crema("test", "--model=net.prototxt", "-weights", f"{name}.caffemodel", "--iterations=0")
            self.assertGreater(float(re.findall(r"accuracy = ([\d.]+)", scored.stderr)[-1]), 0.95, name)
        again = self.run_crema("convert", "-gray", "images/", "list.txt", "small_lmdb")
        self.assertEqual((again.returncode, "is there already" in again.stderr), (1, True), again.stderr)

    def test_the_trainers_score_is_the_tests(self):
        path = self.solver("b", max_iter=200)
        path.write_text(path.read_text().replace("test_interval: 1000000", "test_interval: 200"))
        trained = self.run_crema("train", "--solver", path)
        weights = self.folder / "b_iter_200.caffemodel"
        scored = self.run_crema("test", "--model=net.prototxt", f"--weights={weights}", "--iterations=0")
        last = lambda text, name: re.findall(rf"{name} = ([\d.e-]+)", text)[-1]
        self.assertEqual(last(trained.stderr, "accuracy"), last(scored.stderr, "accuracy"))

    def test_errors_are_one_message_and_a_status(self):
        broken = self.folder / "broken.prototxt"
        broken.write_text("net: \"net.prototxt\"\nbase_lr: fast\n")
        for arguments, part in [
            (("train", "--solver=none.prototxt"), "none.prototxt"),
            (("train", "--solver=broken.prototxt"), "broken.prototxt:2:10"),
            (("train",), "--solver is required"),
            (("train", "--solver=broken.prototxt", "--iterations=x"), "--iterations"),
            (("fly",), "subcommand is required"),
            (("test", "--model=net.prototxt", "--weights=none.caffemodel"), "none.caffemodel"),
            (("train", "-gpu=0", f"--solver={self.solver('g')}"), "--gpu"),
            (("train", f"--solver={self.solver('s')}", "--snapshot=no.solverstate"), "no.solverstate"),
        ]:
            with self.subTest(arguments=arguments):
                out = self.run_crema(*arguments)
                self.assertEqual(out.returncode, 1)
                self.assertIn(part, out.stderr + out.stdout)
                self.assertNotIn("terminate called", out.stderr)
        self.assertEqual(self.run_crema("--version").stdout.strip()[:1].isdigit(), True)
        self.assertEqual(self.run_crema("train", "--help").returncode, 0)

    def test_an_interrupt_stops_after_a_snapshot(self):
        straight = self.run_crema("train", "--solver", self.solver("straight", max_iter=6000))
        self.assertEqual(straight.returncode, 0)
        path = self.solver("cut", max_iter=6000)
        process = subprocess.Popen([crema, "train", "--solver", str(path)], stderr=subprocess.PIPE, text=True)
        while "Iteration 100 " not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 0)
        self.assertIn("Optimization stopped early.", rest)
        states = list(self.folder.glob("cut_iter_*.solverstate"))
        self.assertEqual(len(states), 1)
        self.assertNotIn("_6000.", states[0].name)
        resumed = self.run_crema("train", "--solver", path, "--snapshot", states[0])
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(self.files("straight", 6000)[0], self.files("cut", 6000)[0])

    def test_killed_at_random_points_it_ends_with_the_same_bits(self):
        iterations = 12000
        start = time.monotonic()
        self.assertEqual(self.run_crema("train", "--solver", self.solver("whole", iterations, 200)).returncode, 0)
        took = time.monotonic() - start
        path, r, kills = self.solver("killed", iterations, 200), random.Random(), 0
        while kills < 6:
            process = subprocess.Popen([crema, "train", "--solver", str(path), "--snapshot=auto"], stderr=subprocess.DEVNULL)
            time.sleep(r.uniform(0.02, 0.16) * took)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        self.assertGreaterEqual(kills, 5)
        last = subprocess.run([crema, "train", "--solver", str(path), "--snapshot=auto"], capture_output=True, text=True)
        self.assertEqual(last.returncode, 0, last.stderr)
        self.assertIn("Resuming from", last.stderr)
        whole, killed = self.files("whole", iterations), self.files("killed", iterations)
        self.assertEqual(whole[0], killed[0])
        self.assertEqual(len(whole[1]) + len("killed") - len("whole"), len(killed[1]))  # the state names its model
        self.assertEqual([p.name for p in self.folder.iterdir() if p.name.endswith(".partial")], [])


if __name__ == "__main__":
    unittest.main(verbosity=1)

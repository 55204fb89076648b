# SPDX-License-Identifier: Apache-2.0
"""What the tests of crema_executor share: data, nets, and engines with their rows. The programs are the first two arguments."""
import os
import subprocess
import sys
import tempfile
import unittest

from engine import BYTES, INT, TEST, TRAIN, Engine, dealt, fashion, pack_stream, write_idx

EXECUTOR, CREMA = map(os.path.abspath, sys.argv[1:3])
DATA = "/usr/share/datasets/fashion-mnist"
IMAGES, TESTS, BATCH, TEST_BATCH = 600, 230, 20, 50

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: %s }
  source_class: "com.yahoo.ml.caffe.ImageDataFrame" transform_param { scale: 0.00390625 }
  memory_data_param { source: "hdfs:///train" batch_size: %d channels: 1 height: 28 width: 28 share_in_parallel: false } }
"""
FILES = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: %s } transform_param { scale: 0.00390625 }
  data_param { source: "%s-images-idx3-ubyte" batch_size: %d } }
"""
COLUMNS = [("data", BYTES), ("label", INT)]


def solver(net, **more):
    fields = dict(base_lr=0.05, momentum=0.9, lr_policy='"fixed"', max_iter=36, test_iter=5, test_interval=12, display=0,
                  snapshot=0, snapshot_prefix='"net"', random_seed=7, test_initialization="false")
    fields.update(more)
    return 'net: "%s"\n' % net + "\n".join("%s: %s" % f for f in fields.items())


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="engine-test-")
        cls.train = fashion(DATA, "train", IMAGES)
        cls.test = fashion(DATA, "t10k", TESTS)
        write_idx(cls.path("train-images-idx3-ubyte"), cls.train)
        write_idx(cls.path("test-images-idx3-ubyte"), cls.test)
        cls.write("files.prototxt", FILES % ("TRAIN", "train", BATCH) + FILES % ("TEST", "test", TEST_BATCH) + LAYERS)
        cls.write("rows.prototxt", MEMORY % ("TRAIN", BATCH) + MEMORY % ("TEST", TEST_BATCH) + LAYERS)
        cls.write("files_solver.prototxt", solver(cls.path("files.prototxt")))
        cls.write("solver.prototxt", solver("elsewhere/rows.prototxt"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w") as f:
            f.write(text)
        return cls.path(name)

    def setUp(self):
        self.engines = []

    def tearDown(self):
        for e in self.engines:
            e.__exit__()

    def start(self, count=1, command=(EXECUTOR,)):
        new = [Engine(*command) for _ in range(count)]
        self.engines += new
        return new

    def rows(self, samples):
        return [(p, image, label) for p, (image, label) in enumerate(samples)]

    def launch(self, engines, solver="solver.prototxt", net="rows.prototxt", test=True, ranks_here=1, threads=None, files=False, **more):
        """A TRAIN job in all engines, with their rows, up to `ready`. `threads`: of each engine."""
        served = more.get("strategy") in ("downpour", "bounded_delay")
        ranks = len(engines) * ranks_here
        for k, e in enumerate(engines):
            mine = dealt(self.rows(self.train), 1, int(served), ranks, ranks_here, k)
            own_tests = dealt(self.rows(self.test), 0 if served else TEST_BATCH, 0, ranks, ranks_here, k)
            streams = [] if files else [dict(phase="TRAIN", rows=len(mine), total=IMAGES)]
            if test and not files:
                streams.append(dict(phase="TEST", rows=len(own_tests), total=TESTS))
            e.job(**{**dict(mode="TRAIN", solver=self.path(solver), net=self.path(net), rank=k, size=len(engines),
                            ranks_here=ranks_here, threads=threads[k] if threads else 1, silence=2, deadline=8, progress=0, stream=streams), **more})
            if not files:
                e.send(pack_stream(TRAIN, COLUMNS, mine[::-1]))
                if test:
                    e.send(pack_stream(TEST, COLUMNS, own_tests))
        return [e.event("ready") for e in engines]

    def finish(self, engines):
        done = [e.event("done") for e in engines]
        self.assertEqual([e.end() for e in engines], [0] * len(engines))
        return done

    def alone(self, *flags, solver="files_solver.prototxt"):
        """The same training by the program: the bytes of its weights, and its log."""
        out = subprocess.run([CREMA, "train", "--solver=" + self.path(solver), "--threads=1",
                              "--save=" + self.path("alone.caffemodel"), *flags], capture_output=True, text=True,
                             cwd=self.folder.name)
        self.assertEqual(out.returncode, 0, out.stderr)
        with open(self.path("alone.caffemodel"), "rb") as f:
            return f.read(), out.stderr

    def assertSameWeights(self, done, weights):
        """Layers that hold weights come last in both files and have the same names."""
        with open(done["model"], "rb") as f:
            mine = f.read()
        start = weights.index(b"\x0a\x04conv")
        self.assertEqual(mine[mine.index(b"\x0a\x04conv"):], weights[start:])


def main():
    unittest.main(argv=[sys.argv[0], "-v"] + sys.argv[3:])

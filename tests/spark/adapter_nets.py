# SPDX-License-Identifier: Apache-2.0
"""CaffeOnSpark's examples, written anew: what their data layers and solvers are like is what counts. Of adapter_test.py."""
import math, random, unittest
from pathlib import Path

from adapter_case import *
from small_table import SCHEMA, write_lmdb

SOLVER = """net: "%s_net.prototxt"
test_iter: 2 test_interval: 2 base_lr: %s momentum: 0.9 weight_decay: 0.0005 lr_policy: "%s" gamma: 0.0001 power: 0.75
display: 2 max_iter: 4 snapshot: 2 snapshot_prefix: "%s" solver_mode: GPU
"""
ROWS = 260


def layers(file):
    """Those of a net in this repository that are not data."""
    text = (here.parent.parent / file).read_text()
    return text[text.index('layer {\n  name: "conv1"'):]


def data(kind, source_class, parameters, transform="scale: 0.00390625"):
    transform = f"transform_param {{ {transform} }}" if transform else ""
    return "".join(f"""layer {{ name: "data" type: "{kind}" top: "data" top: "label" include {{ phase: {phase} }} source_class: "com.yahoo.ml.caffe.{source_class}"
  {transform} {parameters.replace("BATCH", str(batch))} }}\n""" for phase, batch in (("TRAIN", 64), ("TEST", 100)))


class Nets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        r = random.Random(5)
        cls.rows = [("%08d" % i, bytearray(r.randbytes(784)), i % 10) for i in range(ROWS)]
        for name, pixels, header in (("grey", 784, b"P5 28 28 255\n"), ("colour", 3072, b"P6 32 32 255\n")):
            (folder / name).mkdir()
            write_lmdb(Path(engine).with_name("crema"), folder / name, [(r.randbytes(pixels), i % 10) for i in range(ROWS)], header)
        table = spark.createDataFrame(cls.rows, SCHEMA).coalesce(1)
        table.write.parquet(str(folder / "digits"))
        table.selectExpr("data", "string(label) as label").write.parquet(str(folder / "named_digits"))
        # A mean of zero, of 3 x 32 x 32.
        (folder / "cifar_mean.binaryproto").write_bytes(b"\x10\x03\x18\x20\x20\x20\x2a\x80\x60" + bytes(12288))

    def trains(self, name, net, rate=0.01, policy="inv"):
        (folder / f"{name}_net.prototxt").write_text(f'name: "{name}"\n' + net)
        (folder / f"{name}.prototxt").write_text(SOLVER % (name, rate, policy, name))
        job = crema(name, conf=str(folder / f"{name}.prototxt"), retries=0)
        self.assertRegex(job.plan(), r"(?m)^steps +4 of 128 samples")
        curve = job.trainWithValidation().collect()
        self.assertEqual([r.iteration for r in curve], [0, 2, 4])
        self.assertTrue(all(math.isfinite(value) for r in curve for value in r), curve)
        self.assertIn(f"{name}_iter_4.solverstate", {p.name for p in (folder / "out").iterdir()})

    def test_lenet(self):
        """lenet_memory, lenet_dataframe, lenet_cos."""
        lenet = layers("examples/fashion_mnist/lenet_train_test.prototxt")
        memory = 'memory_data_param { source: "file:%s" batch_size: BATCH channels: 1 height: 28 width: 28 share_in_parallel: false }'
        cos = """cos_data_param { source: "file:%s" batch_size: BATCH top { name: "data" type: RAW_IMAGE channels: 1 height: 28 width: 28 transform_param { scale: 0.00390625 } }
    top { name: "label" type: STRING channels: 1 sample_num_axes: 0 } }"""
        self.trains("lenet_memory", data("MemoryData", "LMDB", memory % (folder / "grey" / "small_lmdb")) + lenet)
        self.trains("lenet_dataframe", data("MemoryData", "ImageDataFrame", memory % (folder / "digits")) + lenet)
        self.trains("lenet_cos", data("CoSData", "DataFrameSource", cos % (folder / "named_digits"), None) + lenet)

    def test_cifar10_quick(self):
        memory = 'memory_data_param { source: "file:%s" batch_size: BATCH channels: 3 height: 32 width: 32 share_in_parallel: false }' % (folder / "colour" / "small_lmdb")
        net = data("MemoryData", "LMDB", memory, 'mean_file: "cifar_mean.binaryproto"') + layers("bench/train/cifar10_quick.prototxt")
        self.trains("cifar10_quick", net, 0.001, "fixed")

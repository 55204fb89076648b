# SPDX-License-Identifier: Apache-2.0
"""Rows for tests on Spark: images of 12 x 12 in four classes, a bright quarter and noise; and what small_job's net needs to read them."""
import random, sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "program"))
from small_job import NET, SOLVER, write_data, write_lmdb, write_mean

SCHEMA = "id string, data binary, label int"
LAYER = """layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: %s } source_class: "com.yahoo.ml.caffe.ImageDataFrame"
  transform_param { scale: 0.00390625 } memory_data_param { source: "%s" batch_size: %d channels: 1 height: 12 width: 12 } }
"""


def images(count, seed):
    """Rows (id, data, label)."""
    r = random.Random(seed)
    for i in range(count):
        label = i % 4
        yield "%08d" % i, bytearray(r.randrange(120) + 80 * ((y >= 6) * 2 + (x >= 6) == label) for y in range(12) for x in range(12)), label


def net_of_tables(train, test):
    """small_job's net with tables as its sources."""
    sources = "".join(LAYER % (phase, source, batch) for phase, source, batch in (("TRAIN", train, 16), ("TEST", test, 50)))
    return 'name: "small"\n' + sources + NET[NET.index('layer { name: "conv"'):]

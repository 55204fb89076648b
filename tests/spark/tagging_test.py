#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/image_tagging as its user runs it: on YARN, with pictures, weights and results on HDFS; few pictures.

    tagging_test.py JAR      JAR: crema-spark.jar with the engine inside
"""
import base64, html.parser, os, re, subprocess, sys
from pathlib import Path

import clusters, processes

jar = Path(sys.argv[1]).resolve()
EXAMPLE = clusters.ROOT / "examples" / "image_tagging"
FASHION = clusters.ROOT / "examples" / "fashion_mnist"
TRAIN, HELD_OUT, SHOWN = 20, 10, 36
# Of 20 tags. Chance gives 1 in 20, and an untrained last layer on trained features no more.
LEAST = 0.6

# What the Parquet files have to hold, seen by Spark itself.
LOOK = """
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
tags = spark.read.parquet(sys.argv[1])
files, classes = int(sys.argv[2]), int(sys.argv[3])
assert tags.count() == tags.select("file").distinct().count() == files, tags.count()
assert tags.where("size(features) != 500 or exists(features, x -> x is null or isnan(x))").isEmpty()
assert tags.select("features").distinct().count() > files // 2
guesses = tags.select("tags.probability", "tags.tag")
assert guesses.where(f"size(tag) != {classes} or size(array_distinct(tag)) != {classes}").isEmpty()
assert guesses.where("abs(aggregate(probability, 0D, (a, x) -> a + x) - 1) > 1e-4").isEmpty()
assert guesses.where("probability != sort_array(probability, false)").isEmpty()
print(tags.where("split = 'held-out'").agg(F.count("*"), F.avg((F.expr("tags[0].tag = tag")).cast("int"))).first())
"""


class Page(html.parser.HTMLParser):
    """Its figures' classes and pictures; every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.kinds, self.pictures = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "figure":
            self.kinds.append(values["class"])
        elif tag == "img":
            self.pictures[values["alt"]] = base64.b64decode(values["src"].removeprefix("data:image/jpeg;base64,"), validate=True)
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def pretrain(cluster):
    """LeNet on Fashion-MNIST, shortly: what the example finetunes."""
    solver = (FASHION / "lenet_solver.prototxt").read_text()
    for name in ("max_iter", "snapshot"):
        solver = re.sub(rf"(?m)^{name}: \d+", f"{name}: 300", solver)
    (cluster.folder / "solver.prototxt").write_text(re.sub(r"(?m)^test_.*\n", "", solver))
    (cluster.folder / "lenet_train_test.prototxt").write_text((FASHION / "lenet_train_test.prototxt").read_text())
    cluster.submit(jar, "-train", "-conf", cluster.folder / "solver.prototxt", "-data_root", "/usr/share/datasets/fashion-mnist",
                   "-model", f"{cluster.hdfs}/lenet/lenet.caffemodel", main_class="crema.spark.CremaOnSpark", deadline=580)
    weights = cluster.folder / "lenet.caffemodel"
    weights.write_bytes(cluster.read("/lenet/lenet.caffemodel"))
    return weights


def run(cluster, weights):
    """The example's own script; what it printed."""
    page, place = cluster.folder / "tags.html", f"{cluster.hdfs}/tagging"
    settings = [word for key, value in cluster.conf.items() for word in ("--conf", f"{key}={value}")]
    environment = {**cluster.environment, "TMPDIR": str(cluster.temporary), "PYTHON": str(clusters.PYTHON), "PAGE": str(page), "TRAIN": str(TRAIN), "HELD_OUT": str(HELD_OUT), "TOP": "100"}  # more than there are: all
    log = cluster.folder / "run.log"
    with open(log, "wb") as err:
        script = processes.start(["bash", EXAMPLE / "run.sh", jar, weights, place, "--master", cluster.master, *settings], env=environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        out, _ = script.communicate(timeout=580)
    finally:
        processes.stop([script])
    assert script.returncode == 0, f"run.sh ended with {script.returncode}\n{out}{log.read_text()[-8000:]}"
    return out, page.read_text()


processes.guard()
with clusters.yarn() as c:
    weights = pretrain(c)
    traces = processes.Traces(c.folder, watched="/(crema-(?!spark)|tmp[.])")  # folders of engines, and of the script; Spark keeps its own, and logs
    out, text = run(c, weights)
    print(out)
    traces.nothing_new()

    files = len(c.list("/tagging/jpegs"))
    classes = files // (TRAIN + HELD_OUT)
    look = subprocess.run([clusters.PYTHON, "-c", LOOK, f"{c.hdfs}/tagging/out/tags", str(files), str(classes)], env=c.environment, capture_output=True, text=True)
    assert look.returncode == 0, look.stderr[-4000:]
    print(look.stdout)
    count, accuracy = (float(x) for x in re.findall(r"=([\d.]+)", look.stdout))
    assert count == classes * HELD_OUT and accuracy > LEAST, look.stdout
    assert f"{accuracy:.1%} of {classes * HELD_OUT} pictures" in out, out

    page = Page(text)
    assert len(page.pictures) == len(page.kinds) == SHOWN and set(page.kinds) <= {"right", "wrong"}, page.kinds
    assert all(c.read(f"/tagging/jpegs/{name}") == picture for name, picture in page.pictures.items())
    assert "http" not in text  # it needs nobody else

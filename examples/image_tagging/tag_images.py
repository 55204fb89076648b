#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tags a folder of JPEGs: finetunes a net on those that somebody has labelled, and writes for each picture its likeliest
tags with their probabilities, and its features, as Parquet; a page of HTML shows some.

    spark-submit --jars crema-spark.jar --py-files crema_spark.zip tag_images.py IMAGES LABELS OUTPUT --weights lenet.caffemodel --page tags.html

IMAGES, LABELS, OUTPUT and the weights are URIs that all executors reach; the page is a file of the driver. LABELS is CSV with a
header: file, tag, and split, which is `train` where a picture is to be learned from. Pictures that it does not name are tagged too.
"""
import argparse, base64, html
from pathlib import Path

from pyspark.ml import Pipeline
from pyspark.ml.feature import StringIndexer
from pyspark.sql import SparkSession, functions as F

from crema_spark.ml import CremaEstimator

HERE = Path(__file__).resolve().parent
STYLE = """body { font: 14px sans-serif; margin: 2em } main { display: flex; flex-wrap: wrap; gap: 1em }
figure { margin: 0; padding: .6em; border: 3px solid #ccc } .right { border-color: #2a2 } .wrong { border-color: #c22 }
img { width: 112px; height: 112px; display: block; margin-bottom: .4em }"""


def pictures(spark, folder):
    """Spark's own reader; a picture is known by the name of its file."""
    files = spark.read.format("binaryFile").option("pathGlobFilter", "*.jpg").load(folder)
    return files.select(F.element_at(F.split("path", "/"), -1).alias("file"), F.col("content").alias("data"))


def likeliest(tags, count):
    """A column: (tag, probability) of the `count` greatest of `prob`, the greatest first."""
    names = F.array(*map(F.lit, tags))
    pairs = F.transform("prob", lambda p, i: F.struct(p.alias("probability"), F.get(names, i).alias("tag")))
    return F.transform(F.slice(F.sort_array(pairs, asc=False), 1, count), lambda pair: F.struct(pair.tag.alias("tag"), pair.probability.alias("probability")))


def page(rows, title):
    """One file without others: the pictures are inside."""
    figures = []
    for row in rows:
        guesses = "".join(f"<br>{html.escape(guess.tag)} {100 * guess.probability:.0f} %" for guess in row.tags[:3])
        kind = "right" if row.tag == row.tags[0].tag else "wrong"
        figures.append(f'<figure class="{kind}"><img alt="{html.escape(row.file)}" src="data:image/jpeg;base64,{base64.b64encode(row.data).decode()}">'
                       f"<figcaption><b>{html.escape(row.tag)}</b>{guesses}</figcaption></figure>")
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head>\n'
            f"<body><h1>{html.escape(title)}</h1>\n<main>\n" + "\n".join(figures) + "\n</main></body></html>\n")


def main():
    parser = argparse.ArgumentParser()
    for name in ("images", "labels", "output"):
        parser.add_argument(name)
    parser.add_argument("--weights", help="the .caffemodel to start from; without, the net starts at random")
    parser.add_argument("--conf", default=str(HERE / "tags_solver.prototxt"), help="the solver's prototxt")
    parser.add_argument("--top", type=int, default=5, help="tags for each picture")
    parser.add_argument("--page", help="the HTML file to write")
    parser.add_argument("--show", type=int, default=36, help="pictures on the page")
    arguments = parser.parse_args()
    spark = SparkSession.builder.appName("image tagging").getOrCreate()

    folder = pictures(spark, arguments.images)
    labels = spark.read.csv(arguments.labels, header=True, schema="file string, tag string, split string")
    train = folder.join(F.broadcast(labels.where("split = 'train'")), "file")

    net = CremaEstimator(conf=arguments.conf, model=f"{arguments.output}/tags.caffemodel", features="prob,ip1",
                         options={"weights": arguments.weights, "resize": True})
    model = Pipeline(stages=[StringIndexer(inputCol="tag", outputCol="label", stringOrderType="alphabetAsc"), net]).fit(train)
    model.write().overwrite().save(f"{arguments.output}/model")

    # The folder as it is, without tags: they come back only to be compared.
    tagged = model.transform(folder).select("file", likeliest(model.stages[0].labels, arguments.top).alias("tags"), F.col("ip1").alias("features"))
    tagged.join(F.broadcast(labels), "file", "left").write.mode("overwrite").parquet(f"{arguments.output}/tags")

    held_out = spark.read.parquet(f"{arguments.output}/tags").where("split = 'held-out'")
    count, accuracy = held_out.agg(F.count("*"), F.avg((F.col("tag") == F.col("tags")[0].tag).cast("int"))).first()
    title = f"{accuracy:.1%} of {count} pictures that the net has not seen have the right tag first"
    print(title)
    if arguments.page:
        shown = held_out.orderBy(F.xxhash64("file")).limit(arguments.show)
        Path(arguments.page).write_text(page(shown.join(folder, "file").orderBy("tag", "file").collect(), title), encoding="utf-8")
    spark.stop()


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole example: makes the pictures, puts them where the cluster finds them, submits the program.
#
#   bash examples/image_tagging/run.sh JAR WEIGHTS PLACE [OPTIONS OF spark-submit]
#   bash examples/image_tagging/run.sh crema-spark.jar lenet.caffemodel hdfs:///tagging --master yarn --num-executors 2
#
# JAR has the engine inside (examples/spark_executor/java/build.sh JAR crema_executor); WEIGHTS is what examples/quickstart.sh
# leaves; PLACE must not be there yet. SPARK_HOME says which Spark, HADOOP_CONF_DIR which HDFS. These may be set: PYTHON, a
# python3 with Pillow, scikit-image and scikit-learn (python3); TRAIN and HELD_OUT, pictures for each tag (60 and 60); TOP,
# tags for each picture (5); PAGE, the page to write (tags.html).
set -euo pipefail
[ $# -ge 3 ] || { sed -n '5,6s/^#  *//p' "$0" >&2; exit 2; }
jar=$(realpath "$1") weights=$(realpath "$2") place=${3%/} page=$(realpath -m "${PAGE:-tags.html}")
options=("${@:4}")
: "${SPARK_HOME:?names the folder of Spark}"
cd "$(dirname "$0")"
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" make_images.py "$work" --train "${TRAIN:-60}" --held-out "${HELD_OUT:-60}"
cp "$weights" "$work/lenet.caffemodel"
case $place in
  file:*) cp -r "$work" "${place#file:}" ;;
  # Hadoop's own program for files is not everywhere where Spark is; its class is.
  *) "$SPARK_HOME/bin/spark-class" org.apache.hadoop.fs.FsShell -put -t 8 "$work" "$place" ;;
esac
(cd ../spark_executor/python && "$python" -m zipfile -c "$work/crema_spark.zip" crema_spark)
"$SPARK_HOME/bin/spark-submit" "${options[@]}" --jars "$jar" --py-files "$work/crema_spark.zip" tag_images.py \
  "$place/jpegs" "$place/labels.csv" "$place/out" --weights "$place/lenet.caffemodel" --top "${TOP:-5}" --page "$page"

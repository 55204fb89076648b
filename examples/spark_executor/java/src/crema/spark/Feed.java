// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Row;

/** All rows of one task of a gang: an iterator for each stream. It lives within the task, and is never sent. */
record Feed(List<Iterator<Row>> rows) {
  private Feed with(Iterator<Row> more) {
    List<Iterator<Row>> all = new ArrayList<>(rows);
    all.add(more);
    return new Feed(all);
  }

  /** One feed for each of {@code size} tasks, out of streams that have as many partitions each. */
  static JavaRDD<Feed> of(JavaSparkContext spark, int size, List<JavaRDD<Row>> streams) {
    List<Integer> tasks = java.util.stream.IntStream.range(0, size).boxed().toList();
    JavaRDD<Feed> feeds = spark.parallelize(tasks, size).mapPartitions(nothing -> List.of(new Feed(List.of())).iterator());
    for (JavaRDD<Row> stream : streams) feeds = feeds.zipPartitions(stream, (feed, rows) -> List.of(feed.next().with(rows)).iterator());
    return feeds;
  }
}

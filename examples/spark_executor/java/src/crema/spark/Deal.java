// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.Serializable;
import org.apache.spark.unsafe.hash.Murmur3_x86_32;

/**
 * How rows are dealt to engines: the row at position p goes to rank {@code first + (p / block) % (ranks - first)}, rank r lives in
 * engine r / ranksHere; with block 0 all rows go to engine 0.
 */
record Deal(long block, int first, int size, int ranksHere) implements Serializable {
  private int dealt() {
    return size * ranksHere - first;
  }

  /** The engine of a row, as an SQL expression of its position. */
  String engine(String position) {
    if (block == 0) return "0";
    return String.format("cast((%d + (%s div %dL) %% %d) div %d as int)", first, position, block, dealt(), ranksHere);
  }

  /**
   * A column by which {@code repartition(size, column)} sends each row to its engine's partition: an integer with that hash.
   * Spark can be given the partition itself only from 4.1 on.
   */
  String key(String position) {
    StringBuilder keys = new StringBuilder();
    for (int engine = 0; engine < size; ++engine) {
      int key = 0;
      while (Math.floorMod(Murmur3_x86_32.hashInt(key, 42), size) != engine) ++key;  // 42: the seed of Spark's hash()
      keys.append(engine == 0 ? "" : ", ").append(key);
    }
    return "element_at(array(" + keys + "), 1 + " + engine(position) + ")";
  }

  /** How many of so many rows an engine gets. */
  long rowsOf(int engine, long total) {
    if (block == 0) return engine == 0 ? total : 0;
    long turn = block * dealt(), rows = 0;
    for (int rank = Math.max(first, engine * ranksHere); rank < (engine + 1) * ranksHere; ++rank)
      rows += total / turn * block + Math.max(0, Math.min(block, total % turn - (rank - first) * block));
    return rows;
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.Map;
import java.util.TreeMap;
import org.apache.spark.util.AccumulatorV2;

/**
 * An accumulator of the last line for each key: what every rank does just now, as Spark's UI shows it while the job runs. A
 * CollectionAccumulator would send all lines again with every heartbeat.
 */
public final class LastLines extends AccumulatorV2<Map.Entry<String, String>, LastLines.Lines> {
  /** The lines by key; prints as the UI shows it. */
  public static final class Lines extends TreeMap<String, String> {
    @Override
    public String toString() {
      StringBuilder s = new StringBuilder();
      forEach((key, line) -> s.append(s.length() == 0 ? "" : "; ").append(key).append(' ').append(line));
      return s.toString();
    }
  }

  private final Lines lines = new Lines();

  static Map.Entry<String, String> line(String key, String text) {
    return Map.entry(key, text);
  }

  @Override
  public synchronized boolean isZero() {
    return lines.isEmpty();
  }

  @Override
  public synchronized LastLines copy() {
    LastLines other = new LastLines();
    other.lines.putAll(lines);
    return other;
  }

  @Override
  public synchronized void reset() {
    lines.clear();
  }

  @Override
  public synchronized void add(Map.Entry<String, String> line) {
    lines.put(line.getKey(), line.getValue());
  }

  @Override
  public synchronized void merge(AccumulatorV2<Map.Entry<String, String>, Lines> other) {
    lines.putAll(other.value());
  }

  @Override
  public synchronized Lines value() {
    Lines snapshot = new Lines();
    snapshot.putAll(lines);
    return snapshot;
  }
}

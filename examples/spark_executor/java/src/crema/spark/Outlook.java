// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

/** What -plan prints: what a job will take, before it takes it. */
final class Outlook {
  private static final long MEGABYTE = 1 << 20;

  private final CremaOnSpark crema;
  private final StringBuilder text = new StringBuilder();

  Outlook(CremaOnSpark crema) {
    this.crema = crema;
  }

  String text() {
    Plan plan = crema.plan();
    int devices = crema.options().devices(), ranks = crema.size() * devices;
    line("ranks", "%d: %d engines of %d, %s", ranks, crema.size(), devices, crema.options().text("strategy", "synchronous"));
    Map<String, Integer> hosts = new TreeMap<>();
    for (String host : crema.hosts()) hosts.merge(host, 1, Integer::sum);
    String where = hosts.entrySet().stream().map(h -> h.getValue() + " on " + h.getKey()).collect(Collectors.joining(", "));
    line("executors", "%s", hosts.isEmpty() ? "none yet" : where);
    line("slots", "%d of %d that are free now; a slot has %s cores", crema.size(), crema.slots(), crema.slotCores());
    steps(plan, ranks);
    long spool = spool(plan);
    memory(plan.bytes(), devices, crema.onYarn() ? spool : 0);
    if (spool > 0) line("disk", "about %d MB for each engine, in Spark's local folders", megabytes(spool));
    else line("disk", "none: engines read their files where they are");
    return text.toString();
  }

  private void line(String name, String format, Object... values) {
    text.append(String.format(Locale.ROOT, "%-10s", name)).append(String.format(Locale.ROOT, format, values)).append('\n');
  }

  private void steps(Plan plan, int ranks) {
    long samples = plan.batch() * ranks;
    line("steps", "%d of %d samples, %d from each rank", plan.maxIter(), samples, plan.batch());
    Dataset<Row> rows = crema.rows(Plan.TRAIN);
    if (rows != null) {
      long count = rows.count();
      line("epochs", "%.2f of %d rows", (double) plan.maxIter() * samples / Math.max(count, 1), count);
    }
    if (plan.tests()) line("tests", "every %d steps", plan.testInterval());
    line("snapshots", plan.snapshot() > 0 ? "every %d steps, %s_iter_*" : "none", plan.snapshot(), plan.snapshotPrefix());
  }

  /** @param mapped bytes of rows on disk that count as memory */
  private void memory(Map<String, Long> bytes, int devices, long mapped) {
    Map<String, Long> steady = new LinkedHashMap<>(bytes);
    Long snapshot = steady.remove("snapshot");
    long replica = steady.values().stream().mapToLong(Long::longValue).sum();
    if (replica == 0) {
      line("memory", "not known: the data that the nets read is not on this machine");
      return;
    }
    String parts = steady.entrySet().stream().map(b -> b.getKey() + " " + megabytes(b.getValue())).collect(Collectors.joining(", "));
    line("memory", "%d MB for each engine (%s MB), %d MB more in that of rank 0 while it writes or reads a snapshot", megabytes(replica * devices), parts, megabytes(snapshot));
    // Code, threads and message buffers are counted too; rows that are mapped from disk by YARN alone, whose monitor takes resident pages for memory.
    long overhead = megabytes(replica * devices * 5 / 4 + snapshot + mapped) + 256 + 384;
    line("ask for", "--conf spark.executor.memoryOverhead=%dm (if an executor has one slot)", overhead);
  }

  /** Bytes of rows on an engine's disk. */
  private long spool(Plan plan) {
    long bytes = 0;
    for (String phase : new String[] {Plan.TRAIN, Plan.TEST}) {
      Dataset<Row> rows = crema.rows(phase);
      if (rows == null) continue;
      Plan.Source source = plan.streamed(phase);
      long values = source.columns().stream().filter(c -> !c.label()).mapToLong(Plan.Wanted::values).sum();
      long size = source.encoded() ? sizeOf(rows) : rows.count() * (values + 32);
      bytes += size;
    }
    return bytes / crema.size();
  }

  /** As Spark estimates it from the files. */
  private static long sizeOf(Dataset<Row> rows) {
    return rows.queryExecution().optimizedPlan().stats().sizeInBytes().toLong();
  }

  private static long megabytes(long bytes) {
    return (bytes + MEGABYTE - 1) / MEGABYTE;
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** What spark-submit runs: one train, test and features after the other, as far as they are asked for. */
final class CommandLine {
  private final SparkSession spark;
  private final Options options;
  private final boolean features;

  CommandLine(SparkSession spark, Options options) {
    this.spark = spark;
    this.options = options;
    this.features = !options.list("features").isEmpty();  // -label alone asks for none
  }

  void run() {
    if (options.flag("doctor")) {
      String report = CremaOnSpark.doctor(spark, options);
      System.out.print(report);
      if (!Doctor.isGood(report)) throw new CremaException("-doctor found what has to be mended before a training: see the lines that do not end in \"good\"");
      return;
    }
    CremaOnSpark crema = new CremaOnSpark(spark, options);
    if (options.flag("plan")) {
      System.out.print(crema.outlook());
      return;
    }
    if (!options.flag("train") && !options.flag("test") && !features) throw new CremaException("nothing to do: give -train, -test or -features, -plan or -doctor");
    if (features) {  // said now, and not after hours
      crema.checkBlobs();
      checkFree(crema, "output", output());
    }
    if (options.flag("curve")) checkFree(crema, "curve", options.text("curve"));
    if (features || options.flag("curve")) checkFormat();
    if (options.flag("lmdb_partitions")) CremaOnSpark.say("-lmdb_partitions has no effect: each engine reads its part of an LMDB");
    if (options.flag("train")) train(crema);
    if (options.flag("test")) test(crema);
    if (features) write(crema.features(), output());
  }

  private String output() {
    return options.text("output", "output");
  }

  /** Spark writes no table over another. */
  private static void checkFree(CremaOnSpark crema, String option, String place) {
    try {
      if (crema.storage().exists(crema.storage().place(place))) throw new CremaException("-" + option + " " + place + " is there already: remove it, or name another");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void checkFormat() {
    try {
      spark.read().format(format()).schema("x int").load();  // which a format that only writes may refuse in its own way
    } catch (Exception e) {  // Scala throws checked exceptions unannounced
      if (e instanceof ClassNotFoundException) throw new CremaException("-outputFormat " + format() + ": Spark has no writer of this name: json and parquet are there");
    }
  }

  private String format() {
    return options.text("outputFormat", "json");
  }

  private void train(CremaOnSpark crema) {
    CountDownLatch trained = new CountDownLatch(1);
    // Ctrl-C: before Spark goes down, the training ends in order.
    Runnable interrupted = () -> {
      crema.stop();
      try {
        trained.await();
      } catch (InterruptedException e) {
        // it takes too long
      }
    };
    ShutdownHookManager.get().addShutdownHook(interrupted, 100, 60, TimeUnit.SECONDS);  // Spark's own has priority 40
    Dataset<Row> curve;
    try {
      curve = crema.trainWithValidation();
    } finally {
      trained.countDown();
      if (!ShutdownHookManager.get().isShutdownInProgress()) ShutdownHookManager.get().removeShutdownHook(interrupted);
    }
    for (Row row : curve.collectAsList()) {
      StringBuilder line = new StringBuilder("validation");
      for (int i = 0; i < row.length(); ++i) line.append(i == 0 ? " " : ", ").append(curve.columns()[i]).append(' ').append(row.get(i));
      System.out.println(line);
    }
    if (options.flag("curve")) write(curve.coalesce(1), options.text("curve"));
  }

  /** Scores are printed, and written where features do not take the place. */
  private void test(CremaOnSpark crema) {
    StringBuilder text = new StringBuilder();
    crema.test().forEach((name, value) -> text.append(name).append(": ").append(value).append('\n'));
    System.out.print(text);
    if (features) return;
    try {
      crema.storage().write(text.toString(), crema.storage().place(output()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void write(Dataset<Row> rows, String place) {
    rows.write().format(format()).save(place);
  }
}

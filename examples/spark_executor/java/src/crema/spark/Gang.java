// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Row;
import scala.reflect.ClassTag$;

/**
 * Engines that train together: one barrier stage, all or none. When one fails all end, and the gang begins again from the newest
 * snapshot; Spark itself never repeats such a stage.
 */
final class Gang {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final JavaSparkContext spark;
  private final Work work;
  private final Plan plan;
  private final int size;
  private final LastLines.Lines curve = new LastLines.Lines();

  Gang(JavaSparkContext spark, Work work, Plan plan, int size) {
    this.spark = spark;
    this.work = work;
    this.plan = plan;
    this.size = size;
    refuse(spark.getConf(), size);
  }

  /** What a barrier stage cannot live with. */
  static void refuse(SparkConf conf, int size) {
    if (conf.getBoolean("spark.speculation", false))
      throw new CremaException("spark.speculation starts a second copy of a slow task, and a gang has each rank once: set it to false");
    if (conf.getBoolean("spark.dynamicAllocation.enabled", false))
      throw new CremaException("spark.dynamicAllocation.enabled takes executors away, and a gang needs all of its " + size + ": set it to false, and --num-executors " + size);
  }

  /**
   * Trains to the end, or throws what stopped the last attempt.
   *
   * @param rows a stream each, with as many partitions as the gang has engines
   * @param model where the weights go; snapshots go beside it
   * @param resume where to go on from, or null
   */
  JsonNode train(List<Stream> streams, List<JavaRDD<Row>> rows, Path model, Resume resume) throws IOException {
    Storage storage = work.storage();
    Map<Long, Storage.Snapshot> old = storage.snapshots(model.getParent(), plan.snapshotPrefix());
    int retries = work.options().count("retries", 3);
    storage.removeParts(model, plan.snapshotPrefix());
    try (Pulse pulse = new Pulse(spark.sc(), work.options().real("silence", 10))) {
      for (int attempt = 0; ; ++attempt) {
        waitForSlots(spark.sc(), size, work.options().count("slots_deadline", 60));
        RuntimeException failure;
        try {
          return attempt(streams, rows, model, resume);
        } catch (RuntimeException e) {
          failure = e;
        }
        try {
          storage.removeParts(model, plan.snapshotPrefix());
          Resume newest = work.newest(model.getParent(), plan.snapshotPrefix(), s -> !s.equals(old.get(s.iteration())));
          if (newest != null) resume = newest;
        } catch (IOException | RuntimeException e) {
          failure.addSuppressed(e);  // what stopped the attempt is the news
          throw failure;
        }
        if (attempt == retries || isEnding(spark.sc()) || !worthRetrying(failure)) throw failure;
        CremaOnSpark.say(failure.getMessage());
        CremaOnSpark.say("attempt " + (attempt + 2) + " of " + (retries + 1) + " goes on from " + (resume == null ? "the start" : resume.state()));
      }
    }
  }

  /** The validations so far, by iteration: events {@code test}. */
  LastLines.Lines curve() {
    return curve;
  }

  private static boolean worthRetrying(RuntimeException e) {
    if (e instanceof EngineFailure failure) return failure.worthRetrying();
    return e instanceof Watching.Failed;  // anything else is said by this program, or by a Spark that was told to stop
  }

  /** Whether executors are lost because the driver is told to go: by Ctrl-C, or by the cluster. */
  private static boolean isEnding(SparkContext spark) {
    return spark.isStopped() || ShutdownHookManager.get().isShutdownInProgress();
  }

  private JsonNode attempt(List<Stream> streams, List<JavaRDD<Row>> rows, Path model, Resume resume) {
    byte[] random = new byte[16];
    new SecureRandom().nextBytes(random);
    String secret = HexFormat.of().formatHex(random);
    LastLines progress = new LastLines(), validation = new LastLines();
    spark.sc().register(progress, "crema progress");
    spark.sc().register(validation, "crema validation");
    String id = HexFormat.of().formatHex(random, 0, 4);  // of this attempt; too little of the secret to be of use
    Watching watching = new Watching(id, progress, validation);
    Work now = resume == null ? work : work.withWeights(List.of());
    GangTask task = new GangTask(now, streams, secret, model.toString(), resume, progress, validation);
    spark.sc().addSparkListener(watching);
    spark.sc().setLocalProperty(Watching.ATTEMPT, id);
    try {
      Object done = Feed.of(spark, size, rows).rdd().barrier().<String>mapPartitions(task, false, ClassTag$.MODULE$.apply(String.class)).collect();
      watching.settle();
      curve.putAll(validation.value());
      return JSON.readTree(((String[]) done)[0]);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CremaException("the driver was interrupted", e);
    } catch (RuntimeException e) {
      throw reason(watching, e);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    } catch (Exception e) {  // Scala throws checked exceptions unannounced: SparkException is one
      CremaException said = CremaException.in(e);
      throw reason(watching, said != null ? said : new CremaException(e.getMessage(), e));
    } finally {
      curve.putAll(watching.curve());
      spark.sc().setLocalProperty(Watching.ATTEMPT, null);
      spark.sc().removeSparkListener(watching);
    }
  }

  private static RuntimeException reason(Watching watching, RuntimeException sparks) {
    try {
      watching.settle();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return String.valueOf(sparks.getMessage()).contains("cancelled") ? sparks : watching.culprit(sparks);
  }

  /** How many tasks can run at once. */
  static int slots(SparkContext spark) {
    return spark.maxNumConcurrentTasks(spark.resourceProfileManager().defaultResourceProfile());
  }

  /** Waits for executors in place of Spark, which would do it silently and in steps of 15 seconds. */
  static void waitForSlots(SparkContext spark, int wanted, int seconds) {
    long end = System.nanoTime() + seconds * 1_000_000_000L;
    for (int said = -1; ; ) {
      int slots = slots(spark);
      if (slots >= wanted) return;
      if (System.nanoTime() > end)
        throw new CremaException("-clusterSize " + wanted + " needs as many slots of " + spark.conf().get("spark.task.cpus", "1") + " cores, and there are "
            + slots + " after " + seconds + " s: add executors or cores, or lower -clusterSize or spark.task.cpus");
      if (slots != said) CremaOnSpark.say("waiting for executors: " + slots + " of " + wanted + " slots are there");
      said = slots;
      try {
        Thread.sleep(100);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new CremaException("the driver was interrupted", e);
      }
    }
  }
}

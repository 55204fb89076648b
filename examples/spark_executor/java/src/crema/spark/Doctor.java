// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.resource.ResourceInformation;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.util.TaskCompletionListener;
import scala.collection.Iterator$;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction1;

/** What -doctor prints: whether engines start on the executors, reach each other, and have disk, the same clock and GPUs. */
final class Doctor {
  private static final long GIGABYTE = 1 << 30, FREE_GIGABYTES = 1, SKEW_SECONDS = 5;

  private static final String GOOD = ": good";

  private Doctor() {}

  /** Whether a report tells of no trouble. */
  static boolean isGood(String report) {
    return report.lines().allMatch(line -> line.endsWith(GOOD));
  }

  /** A line for each executor: as many tasks as there are slots reach all of them, and the first in each does the work. */
  static String report(SparkSession spark, Options options) {
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    int size = options.count("clusterSize", context.getConf().getInt("spark.executor.instances", 1));
    Gang.refuse(context.getConf(), size);
    Gang.waitForSlots(spark.sparkContext(), size, options.count("slots_deadline", 60));
    Object lines = Feed.of(context, Gang.slots(spark.sparkContext()), List.of()).rdd().barrier()
        .<String>mapPartitions(new Visit(options), false, ClassTag$.MODULE$.apply(String.class)).collect();
    return String.join("\n", (String[]) lines) + "\n";
  }

  /** One executor's examination. */
  private static final class Visit extends AbstractFunction1<scala.collection.Iterator<Feed>, scala.collection.Iterator<String>> implements Serializable {
    private final Options options;

    Visit(Options options) {
      this.options = options;
    }

    @Override
    public scala.collection.Iterator<String> apply(scala.collection.Iterator<Feed> feed) {
      try {
        return examine(BarrierTaskContext.get());
      } catch (IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }

    private scala.collection.Iterator<String> examine(BarrierTaskContext context) throws IOException {
      int task = context.partitionId();
      String host = context.getTaskInfos()[task].address().replaceFirst(":\\d+$", ""), executor = SparkEnv.get().executorId();
      boolean first = Arrays.asList(context.allGather(executor)).indexOf(executor) == task;
      File scratch = Work.scratch(task);
      List<String> troubles = new ArrayList<>();
      String about = "executor " + executor + " on " + host;
      String port = "";
      if (first) try {
        Engine engine = Engine.start(Work.program(options.text("engine")), scratch, host, task, host);
        context.addTaskCompletionListener((TaskCompletionListener) c -> engine.close());
        port = engine.hello().path("port").asText();
        about += ", engine " + engine.hello().path("version").asText() + " (" + engine.hello().path("isa").asText() + ")";
      } catch (CremaException e) {
        troubles.add(e.getMessage());
      }
      String[] others = context.allGather(host + "\t" + port);
      if (first)
        for (String other : others) reach(other, troubles);
      context.barrier();  // all leave it at once: what their clocks say now can be compared
      String[] clocks = context.allGather(String.valueOf(System.currentTimeMillis()));
      long skew = Math.abs(Long.parseLong(clocks[task]) - Long.parseLong(clocks[0])) / 1000;
      if (skew > SKEW_SECONDS) troubles.add("its clock differs by " + skew + " s from that of the first");
      long free = scratch.getUsableSpace() / GIGABYTE;
      if (free < FREE_GIGABYTES) troubles.add("only " + scratch.getUsableSpace() / (1 << 20) + " MB are free in " + scratch);
      if (!first) return Iterator$.MODULE$.empty();
      ResourceInformation gpus = context.resourcesJMap().get("gpu");
      about += ", " + free + " GB free in " + scratch + ", GPUs " + (gpus == null ? "none" : String.join(" ", gpus.addresses()));
      return Iterator$.MODULE$.single(about + (troubles.isEmpty() ? GOOD : ": " + String.join("; ", troubles).replace('\n', ' ')));
    }

    private static void reach(String engine, List<String> troubles) {
      String[] parts = engine.split("\t");
      if (parts.length < 2) return;  // it did not start, as its own line says, or is not the first of its executor
      try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress(parts[0], Integer.parseInt(parts[1])), 5000);
      } catch (IOException e) {
        troubles.add("it cannot reach " + parts[0] + " port " + parts[1] + ": " + e.getMessage());
      }
    }
  }
}

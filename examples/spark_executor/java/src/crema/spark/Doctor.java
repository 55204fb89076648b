// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
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

  private Doctor() {}

  static String report(SparkSession spark, Options options) {
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    int size = options.count("clusterSize", context.getConf().getInt("spark.executor.instances", 1));
    Gang.refuse(context.getConf(), size);
    Gang.waitForSlots(spark.sparkContext(), size, options.count("slots_deadline", 60));
    Object lines = Feed.of(context, size, List.of()).rdd().barrier()
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
        return Iterator$.MODULE$.single(examine(BarrierTaskContext.get()));
      } catch (IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }

    private String examine(BarrierTaskContext context) throws IOException {
      int rank = context.partitionId();
      String host = context.getTaskInfos()[rank].address().replaceFirst(":\\d+$", "");
      File scratch = Work.scratch(rank);
      List<String> troubles = new ArrayList<>();
      String about = host + ", executor " + SparkEnv.get().executorId();
      String port = "";
      try {
        Engine engine = Engine.start(Work.program(options.text("engine")), scratch, host, rank, host);
        context.addTaskCompletionListener((TaskCompletionListener) c -> engine.close());
        port = engine.hello().path("port").asText();
        about += ", engine " + engine.hello().path("version").asText() + " (" + engine.hello().path("isa").asText() + ")";
      } catch (CremaException e) {
        troubles.add(e.getMessage());
      }
      String[] others = context.allGather(host + "\t" + port);
      for (String other : others) reach(other, troubles);
      context.barrier();  // all leave it at once: what their clocks say now can be compared
      String[] clocks = context.allGather(String.valueOf(System.currentTimeMillis()));
      long skew = Math.abs(Long.parseLong(clocks[rank]) - Long.parseLong(clocks[0])) / 1000;
      if (skew > SKEW_SECONDS) troubles.add("its clock differs by " + skew + " s from that of rank 0");
      long free = scratch.getUsableSpace() / GIGABYTE;
      if (free < FREE_GIGABYTES) troubles.add("only " + scratch.getUsableSpace() / (1 << 20) + " MB are free in " + scratch);
      ResourceInformation gpus = context.resourcesJMap().get("gpu");
      about += ", " + free + " GB free in " + scratch + ", GPUs " + (gpus == null ? "none" : String.join(" ", gpus.addresses()));
      return "rank " + rank + ": " + about + ": " + (troubles.isEmpty() ? "good" : String.join("; ", troubles));
    }

    private static void reach(String engine, List<String> troubles) {
      String[] parts = engine.split("\t");
      if (parts.length < 2) return;  // it has said itself that it did not start
      try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress(parts[0], Integer.parseInt(parts[1])), 5000);
      } catch (IOException e) {
        troubles.add("it cannot reach " + parts[0] + " port " + parts[1] + ": " + e.getMessage());
      }
    }
  }
}

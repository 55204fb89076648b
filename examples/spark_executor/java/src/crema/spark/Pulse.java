// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.*;

/**
 * Has executors replaced that run tasks and whose heartbeats stay out: they are stopped, or their machines are. Spark itself waits for
 * minutes ({@code spark.network.timeout}), and keeps their slots meanwhile.
 */
final class Pulse extends SparkListener implements AutoCloseable {
  private static final long TURN_MS = 250;

  private final SparkContext spark;
  private final long patience;
  private final Map<String, Integer> quiet = new HashMap<>();  // executors: turns since the last heartbeat
  private final Thread thread;

  /** @param silence seconds that a heartbeat may be late; the first of an executor comes after up to two intervals */
  Pulse(SparkContext spark, double silence) {
    this.spark = spark;
    patience = (long) (silence * 1000) + 2 * spark.conf().getTimeAsMs("spark.executor.heartbeatInterval", "10s");
    spark.addSparkListener(this);
    thread = Engine.thread("crema pulse", this::watch);
  }

  @Override
  public synchronized void onTaskStart(SparkListenerTaskStart task) {
    if (!task.taskInfo().executorId().equals("driver")) quiet.putIfAbsent(task.taskInfo().executorId(), 0);
  }

  @Override
  public synchronized void onExecutorMetricsUpdate(SparkListenerExecutorMetricsUpdate update) {
    quiet.computeIfPresent(update.execId(), (id, turns) -> 0);
  }

  @Override
  public synchronized void onExecutorRemoved(SparkListenerExecutorRemoved executor) {
    quiet.remove(executor.executorId());
  }

  /** In turns, so that a driver that was stopped itself does not blame the executors. */
  private void watch() {
    try {
      for (;; Thread.sleep(TURN_MS))
        for (String id : silent()) replace(id);
    } catch (InterruptedException e) {
      // closed
    }
  }

  private void replace(String id) throws InterruptedException {
    String why = "it has sent no heartbeat for " + patience / 1000 + " s: it is stopped, or its machine is";
    try {
      spark.killAndReplaceExecutor(id);
    } catch (Exception e) {  // Scala throws checked exceptions unannounced
      if (e instanceof InterruptedException interrupted) throw interrupted;
      CremaOnSpark.say("executor " + id + " cannot be replaced: " + e);
    }
    spark.taskScheduler().executorLost(id, new ExecutorLossReason(why));  // now: its own end may take Spark another 10 s
  }

  private synchronized List<String> silent() {
    quiet.replaceAll((id, turns) -> turns + 1);
    List<String> silent = new ArrayList<>(quiet.keySet());
    silent.removeIf(id -> quiet.get(id) * TURN_MS <= patience);
    quiet.keySet().removeAll(silent);
    return silent;
  }

  @Override
  public void close() {
    spark.removeSparkListener(this);
    thread.interrupt();
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.ArrayList;
import java.util.List;
import org.apache.spark.ExceptionFailure;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.TaskFailedReason;
import org.apache.spark.TaskKilled;
import org.apache.spark.scheduler.*;

/**
 * The driver's eyes on one attempt: prints what the ranks say, and collects how each task ended. Spark itself shows the failure
 * that it heard of first, which may be that of a peer of the culprit.
 */
final class Watching extends SparkListener {
  static final String ATTEMPT = "crema.attempt";

  private final String attempt;
  private final LastLines progress, validation;
  private int stage = -1;  // of the gang; those before it make its rows
  private final List<Ended> failures = new ArrayList<>();
  private int running;
  private String printed = "";
  private LastLines.Lines curve = new LastLines.Lines();

  /** How the task of a rank ended. */
  private record Ended(String rank, TaskFailedReason reason) {
    Failed failed(String why) {
      return new Failed(rank + ": " + why);
    }
  }

  Watching(String attempt, LastLines progress, LastLines validation) {
    this.attempt = attempt;
    this.progress = progress;
    this.validation = validation;
  }

  @Override
  public synchronized void onJobStart(SparkListenerJobStart job) {
    if (attempt.equals(job.properties().getProperty(ATTEMPT)))
      for (var ids = job.stageIds().iterator(); ids.hasNext(); ) stage = Math.max(stage, (Integer) ids.next());
  }

  @Override
  public synchronized void onTaskStart(SparkListenerTaskStart task) {
    if (task.stageId() == stage) ++running;
  }

  @Override
  public synchronized void onTaskEnd(SparkListenerTaskEnd task) {
    if (task.stageId() != stage) return;
    --running;
    if (task.reason() instanceof TaskFailedReason failed) failures.add(new Ended("rank " + task.taskInfo().index() + " on " + task.taskInfo().host(), failed));
    note(task.taskInfo().accumulables());
    notifyAll();
  }

  @Override
  public synchronized void onExecutorMetricsUpdate(SparkListenerExecutorMetricsUpdate update) {
    for (var tasks = update.accumUpdates().iterator(); tasks.hasNext(); ) note(tasks.next()._4());
  }

  private void note(scala.collection.Iterable<AccumulableInfo> accumulables) {
    for (var all = accumulables.iterator(); all.hasNext(); ) {
      AccumulableInfo info = all.next();
      if (info.update().isEmpty() || !(info.update().get() instanceof LastLines.Lines lines)) continue;
      if (info.id() == validation.id()) curve.putAll(lines);
      if (info.id() == progress.id() && lines.containsKey("rank 0") && !printed.equals(lines.get("rank 0")))
        CremaOnSpark.say("rank 0 " + (printed = lines.get("rank 0")));
    }
  }

  /** The validations that ranks reported, those of tasks that failed too. */
  synchronized LastLines.Lines curve() {
    return curve;
  }

  /** Waits until the tasks have ended, for a few seconds: those of a failed gang are killed one after the other. */
  synchronized void settle() throws InterruptedException {
    long end = System.nanoTime() + 5_000_000_000L;
    for (long left; (left = (end - System.nanoTime()) / 1_000_000) > 0 && running > 0; ) wait(left);
  }

  /** The reason for the attempt's failure: a culprit's before that of a lost executor, and that before a witness's. */
  synchronized RuntimeException culprit(RuntimeException sparks) {
    RuntimeException witness = null, lost = null, other = null;
    for (Ended ended : failures) {
      Throwable thrown = ended.reason instanceof ExceptionFailure e && e.exception().isDefined() ? e.exception().get() : null;
      if (thrown instanceof EngineFailure e && e.isWitness()) witness = witness == null ? e : witness;
      else if (thrown instanceof CremaException e) return e;
      else if (ended.reason instanceof ExecutorLostFailure e) lost = lost == null ? ended.failed("its executor " + e.execId() + " was lost: " + e.reason().getOrElse(() -> "no reason is known")) : lost;
      else if (ended.reason instanceof ExceptionFailure e) other = other == null ? ended.failed(e.className() + ": " + e.description()) : other;
      else if (!(ended.reason instanceof TaskKilled)) other = other == null ? ended.failed(ended.reason.toErrorString()) : other;
    }
    return lost != null ? lost : other != null ? other : witness != null ? witness : sparks;
  }

  /** A failure that may not come again. */
  static final class Failed extends CremaException {
    Failed(String message) {
      super(message);
    }
  }
}

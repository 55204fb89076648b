// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.util.Iterator;
import java.util.List;
import org.apache.hadoop.fs.Path;
import org.apache.spark.BarrierTaskContext;
import scala.collection.Iterator$;
import scala.runtime.AbstractFunction1;

/**
 * One engine of a gang, from its start to its end. The gang's tasks meet once, when all have their rows; what happens then is
 * between the engines, and this task relays what its engine says.
 */
final class GangTask extends AbstractFunction1<scala.collection.Iterator<Feed>, scala.collection.Iterator<String>> implements Serializable {
  private final Work work;
  private final List<Stream> streams;
  private final String secret, model;
  private final Resume resume;
  private final LastLines progress, validation;

  /**
   * @param secret of this attempt: what the engines know each other by
   * @param model where the trained weights go; snapshots go beside it
   * @param resume where to go on from, or null
   */
  GangTask(Work work, List<Stream> streams, String secret, String model, Resume resume, LastLines progress, LastLines validation) {
    this.work = work;
    this.streams = streams;
    this.secret = secret;
    this.model = model;
    this.resume = resume;
    this.progress = progress;
    this.validation = validation;
  }

  @Override
  public scala.collection.Iterator<String> apply(scala.collection.Iterator<Feed> feed) {
    BarrierTaskContext context = BarrierTaskContext.get();
    String host = context.getTaskInfos()[context.partitionId()].address().replaceFirst(":\\d+$", "");
    try {
      return Iterator$.MODULE$.single(run(context, host, feed.next()));
    } catch (EngineFailure e) {
      if (e.isWitness()) letCulpritSpeak(context);
      throw e;
    } catch (IOException e) {
      throw new Watching.Failed("rank " + context.partitionId() + " on " + host + ": " + e.getMessage());
    }
  }

  /** The culprit's task speaks first, when it has stored its last snapshot: Spark asks no other task once one has failed. */
  private static void letCulpritSpeak(BarrierTaskContext context) {
    try {
      for (int turn = 0; turn < 60 && !context.isInterrupted(); ++turn) Thread.sleep(50);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private String run(BarrierTaskContext context, String host, Feed feed) throws IOException {
    int rank = context.partitionId();
    Engine engine = work.start(context, rank, host, host);
    engine.send(job(engine, context, rank));
    Iterator<Iterator<org.apache.spark.sql.Row>> rows = feed.rows().iterator();
    for (Stream stream : streams) stream.send(engine, rows.next());
    JsonNode ready = engine.await("ready");
    say(rank, "has " + ready.path("rows").asLong() + " rows");
    boolean alone = context.getTaskInfos().length * work.options().devices() == 1;
    if (!alone) engine.send(world(engine, host, context));
    if (rank == 0) Stop.of(work.storage(), new Path(model)).watch(engine);
    return relay(engine, rank);
  }

  private Order job(Engine engine, BarrierTaskContext context, int rank) throws IOException {
    Order job = work.order(engine, context, "TRAIN", rank, context.getTaskInfos().length);
    for (Stream stream : streams) job.message("stream", stream.order(rank));
    return resume == null ? job : job.text("state", work.download(resume, engine));
  }

  /** The one exchange: where each engine is, and of which version. */
  private Order world(Engine engine, String host, BarrierTaskContext context) {
    JsonNode hello = engine.hello();
    String[] engines = context.allGather(String.join("\t", host, hello.path("port").asText(), hello.path("version").asText()));
    String[] head = engines[0].split("\t");
    for (String other : engines)
      if (!other.split("\t")[2].equals(head[2]))
        throw new CremaException("the engines are of different versions: " + String.join(", ", engines).replace('\t', ' ') + ": ship one with --files");
    String connection = "mpi".equalsIgnoreCase(work.options().text("connection")) ? "MPI" : "TCP";
    return new Order("world").text("address", head[0] + ":" + head[1]).text("secret", secret).value("connection", connection);
  }

  private String relay(Engine engine, int rank) throws IOException {
    JsonNode done = null;
    for (JsonNode event; (event = engine.next()) != null; )
      switch (Engine.name(event)) {
        case "world" -> say(rank, "is in the world");
        case "start" -> say(rank, "begins at iteration " + event.path("iteration").asLong() + " on " + event.path("backend").asText());
        case "step" -> say(rank, String.format("iteration %d, loss %.4g, %.0f samples/s", event.path("iteration").asLong(), event.path("loss").asDouble(), event.path("samples_per_second").asDouble()));
        case "test" -> {  // as in CaffeOnSpark, the curve is that of the first test net
          if (event.path("net").asLong() == 0) validation.add(LastLines.line(String.format("%012d", event.path("iteration").asLong()), event.toString()));
        }
        case "snapshot" -> {  // of a failed engine the newest counts, and the end of this task is waited for
          if (!engine.failedAfter("snapshot")) keep(event);
        }
        case "done" -> done = event;
        default -> { }
      }
    engine.finish(done);
    if (done.has("model")) work.storage().upload(new File(done.path("model").asText()), new Path(model));
    say(rank, done.has("iteration") ? "done at iteration " + done.path("iteration").asLong() : "done");  // rank 0 knows it
    return done.toString();
  }

  private void say(int rank, String text) {
    progress.add(LastLines.line("rank " + rank, text));
  }

  /** A snapshot goes to its place, the model first: a state that is there has its model beside it. */
  private void keep(JsonNode event) throws IOException {
    for (String part : List.of("model", "state")) {
      File file = new File(event.path(part).asText());
      work.storage().upload(file, new Path(new Path(model).getParent(), file.getName()));
    }
    for (String part : List.of("model", "state")) new File(event.path(part).asText()).delete();
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.Serializable;
import java.net.InetAddress;
import java.nio.channels.SocketChannel;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.Row;

/**
 * TEST and FEATURES: tasks that know nothing of each other, an engine for each partition. A partition's rows go to the engine's
 * disk, then its answers stream back.
 *
 * @param columns of the rows; null where the data layers read files and each engine takes its part of them
 * @param parts how many partitions there are, and parts of files
 */
record Scoring(Work work, List<Column> columns, int parts) implements Serializable {
  /** Sums over a partition's samples: the event {@code test} as one line, or none for no rows. */
  Iterator<String> test(int part, Iterator<Row> rows) throws IOException {
    if (columns != null && !rows.hasNext()) return Collections.emptyIterator();
    Engine engine = start(part);
    Order job = work.order(engine, TaskContext.get(), "TEST", part, parts);
    engine.send(columns == null ? job : job.message("stream", new Order("").value("phase", "TEST")));
    if (columns != null) send(engine, engine.connect(), part, rows);
    JsonNode test = engine.await("test");
    engine.finish();
    return List.of(test.toString()).iterator();
  }

  /** A row with SampleID and the blobs for each that comes in, in their order. */
  Iterator<Row> features(int part, Iterator<Row> rows) throws IOException {
    if (columns != null && !rows.hasNext()) return Collections.emptyIterator();
    Engine engine = start(part);
    Order job = work.order(engine, TaskContext.get(), "FEATURES", part, parts).texts("feature", work.options().blobs());
    engine.send(job.message("stream", new Order("").value("phase", "TEST")));
    SocketChannel channel = engine.connect();
    send(engine, channel, part, rows);
    try {
      return new Answers(engine, new RowReader(channel));
    } catch (IOException e) {
      throw engine.failure();
    }
  }

  /** A task may have several parts, one after the other, when the caller has put partitions together. */
  private Engine start(int part) throws IOException {
    return work.start(TaskContext.get(), part, null, InetAddress.getLocalHost().getHostName());
  }

  /** Rows are numbered as Spark's monotonically_increasing_id() does: that is their SampleID where they have no id. */
  private void send(Engine engine, SocketChannel channel, int part, Iterator<Row> rows) {
    try {
      RowWriter writer = new RowWriter(engine.sink(channel), 1, columns == null ? List.of() : columns);
      for (long position = (long) part << 33; columns != null && rows.hasNext(); ++position) writer.write(position, rows.next());
      writer.end();
    } catch (IOException e) {
      throw engine.failure();
    }
  }

  /** The engine's rows; after the last, its end. */
  private static final class Answers implements Iterator<Row> {
    private final Engine engine;
    private final RowReader reader;
    private Row next;
    private boolean ended;

    Answers(Engine engine, RowReader reader) {
      this.engine = engine;
      this.reader = reader;
    }

    @Override
    public boolean hasNext() {
      if (next == null && !ended) {
        try {
          next = reader.next();
        } catch (IOException e) {
          throw engine.failure();
        }
        if (next == null) {
          ended = true;
          engine.finish();
          engine.close();
        }
      }
      return next != null;
    }

    @Override
    public Row next() {
      if (!hasNext()) throw new NoSuchElementException();
      Row row = next;
      next = null;
      return row;
    }
  }
}

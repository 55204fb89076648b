// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.spark.sql.Row;

/** Writes rows as docs/spark_protocol.md has them, in blocks of about a megabyte. */
final class RowWriter {
  private static final int BLOCK = 1 << 20, MAX_BLOCK = 1 << 30;

  private final WritableByteChannel channel;
  private final List<Column> columns;
  private ByteBuffer block = buffer(BLOCK);

  /** Begins a stream of a phase: 0 TRAIN, 1 TEST. */
  RowWriter(WritableByteChannel channel, int phase, List<Column> columns) throws IOException {
    this.channel = channel;
    this.columns = columns;
    block.put("CREMAROW".getBytes(StandardCharsets.US_ASCII)).putInt(phase).putInt(columns.size());
    for (Column column : columns) {
      byte[] name = column.name().getBytes(StandardCharsets.UTF_8);
      room(3 + name.length);
      block.put((byte) column.type().ordinal()).putShort((short) name.length).put(name);
    }
    send();
    begin();
  }

  private static ByteBuffer buffer(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** A row, whose columns come in the order of the stream's. */
  void write(long position, Row row) throws IOException {
    if (block.position() > BLOCK / 2) flush();
    room(8).putLong(position);
    for (int i = 0; i < columns.size(); ++i) {
      if (row.isNullAt(i))
        throw new CremaException("column '" + columns.get(i).name() + "' is null in row " + position + ": fill it (na().fill) or leave such rows out (na().drop)");
      switch (columns.get(i).type()) {
        case INT -> room(8).putLong(row.getLong(i));
        case FLOAT -> room(4).putFloat(row.getFloat(i));
        case BYTES -> bytes(row.getAs(i));
        case STRING -> bytes(row.getString(i).getBytes(StandardCharsets.UTF_8));
        case FLOATS -> floats(row.getAs(i), i, position);
      }
    }
  }

  private void bytes(byte[] bytes) {
    room(4 + bytes.length).putInt(bytes.length).put(bytes);
  }

  private void floats(scala.collection.Seq<?> values, int column, long position) {
    room(4 + 4 * values.length()).putInt(values.length());
    for (scala.collection.Iterator<?> it = values.iterator(); it.hasNext(); ) {
      Object value = it.next();
      if (value == null) throw new CremaException("column '" + columns.get(column).name() + "' has a null within its array in row " + position);
      block.putFloat((Float) value);
    }
  }

  /** The block with so many bytes free. */
  private ByteBuffer room(int bytes) {
    if (block.remaining() >= bytes) return block;
    long wanted = Math.max(2L * block.capacity(), (long) block.position() + bytes);
    if (wanted > MAX_BLOCK) throw new CremaException("a row of more than 1 GiB");
    return block = buffer((int) wanted).put(block.flip());
  }

  private void begin() {
    block.clear().putInt(0);
  }

  private void flush() throws IOException {
    if (block.position() == 4) return;
    block.putInt(0, block.position() - 4);
    send();
    begin();
  }

  private void send() throws IOException {
    block.flip();
    while (block.hasRemaining()) channel.write(block);
  }

  /** No more rows. */
  void end() throws IOException {
    flush();
    begin();
    send();
  }
}

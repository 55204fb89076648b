// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;

/** Reads the rows that an engine sends: {@code SampleID} and the features. */
final class RowReader {
  private final ReadableByteChannel channel;
  private final List<Column> columns = new ArrayList<>();
  private ByteBuffer block = ByteBuffer.allocate(0);

  RowReader(ReadableByteChannel channel) throws IOException {
    this.channel = channel;
    ByteBuffer head = read(16);
    byte[] magic = new byte[8];
    head.get(magic);
    if (!new String(magic, StandardCharsets.US_ASCII).equals("CREMAROW")) throw new IOException("not a stream of rows");
    head.getInt();  // the phase
    for (int i = head.getInt(); i > 0; --i) {
      ByteBuffer column = read(3);
      Column.Type type = Column.Type.values()[column.get()];
      columns.add(new Column(StandardCharsets.UTF_8.decode(read(Short.toUnsignedInt(column.getShort()))).toString(), type));
    }
  }

  private ByteBuffer read(int bytes) throws IOException {
    ByteBuffer b = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    while (b.hasRemaining())
      if (channel.read(b) < 0) throw new EOFException("the engine's rows broke off");
    return b.flip();
  }

  /** The next row, or null after the last. */
  Row next() throws IOException {
    if (!block.hasRemaining()) {
      int bytes = read(4).getInt();
      if (bytes == 0) return null;
      block = read(bytes);
    }
    block.getLong();  // the position: rows come in the order in which they were sent
    Object[] values = new Object[columns.size()];
    for (int i = 0; i < values.length; ++i)
      values[i] = switch (columns.get(i).type()) {
        case INT -> block.getLong();
        case FLOAT -> block.getFloat();
        case BYTES -> bytes();
        case STRING -> new String(bytes(), StandardCharsets.UTF_8);
        case FLOATS -> floats();
      };
    return RowFactory.create(values);
  }

  private byte[] bytes() {
    byte[] bytes = new byte[block.getInt()];
    block.get(bytes);
    return bytes;
  }

  private float[] floats() {
    float[] values = new float[block.getInt()];
    block.asFloatBuffer().get(values);
    block.position(block.position() + 4 * values.length);
    return values;
  }
}

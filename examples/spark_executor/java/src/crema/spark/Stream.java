// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.IOException;
import java.io.Serializable;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.sql.Row;

/** A stream of rows that each engine of a gang gets, of a phase: what is in it, and how it is dealt. */
record Stream(String phase, List<Column> columns, Deal deal, long total) implements Serializable {
  /** Its number in the protocol. */
  int number() {
    return phase.equals(Plan.TEST) ? 1 : 0;
  }

  Order order(int engine) {
    return new Order("").value("phase", phase).value("rows", deal.rowsOf(engine, total)).value("total", total);
  }

  /** Sends an engine its rows, each with its position behind its columns. */
  void send(Engine engine, Iterator<Row> rows) {
    try {
      RowWriter writer = new RowWriter(engine.sink(engine.connect()), number(), columns);
      while (rows.hasNext()) {
        Row row = rows.next();
        writer.write(row.getLong(columns.size()), row);
      }
      writer.end();
    } catch (IOException e) {
      throw engine.failure();
    }
  }
}

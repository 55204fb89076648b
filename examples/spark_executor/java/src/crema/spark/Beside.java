// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.Iterator;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;

/** Rows that are carried along, each with its features and the index of the greatest value of the first. */
final class Beside implements Iterator<Row> {
  private final Iterator<Row> rows, answers;
  private final int carried;

  /** @param carried the column of {@code rows} that holds the row to carry */
  Beside(Iterator<Row> rows, Iterator<Row> answers, int carried) {
    this.rows = rows;
    this.answers = answers;
    this.carried = carried;
  }

  @Override
  public boolean hasNext() {
    boolean more = rows.hasNext();
    if (more != answers.hasNext()) throw new CremaException("the rows were others when they were read again: cache the DataFrame before transform()");
    return more;
  }

  @Override
  public Row next() {
    Row row = rows.next().getStruct(carried), answer = answers.next();
    Object[] values = new Object[row.length() + answer.length()];
    for (int i = 0; i < row.length(); ++i) values[i] = row.get(i);
    for (int i = 1; i < answer.length(); ++i) values[row.length() + i - 1] = answer.get(i);  // without SampleID
    values[values.length - 1] = (double) greatest(answer.getAs(1));
    return RowFactory.create(values);
  }

  private static int greatest(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; ++i)
      if (values[i] > values[best]) best = i;
    return best;
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.Iterator;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;

/** Rows that are carried along, each with its features and the index of the greatest value of the first. */
final class Beside implements Iterator<Row> {
  private final Iterator<Row> rows, answers;
  private final int carried;

  /** @param carried the column of {@code rows} that holds the row to carry; the one before it is the row's id */
  Beside(Iterator<Row> rows, Iterator<Row> answers, int carried) {
    this.rows = rows;
    this.answers = answers;
    this.carried = carried;
  }

  @Override
  public boolean hasNext() {
    boolean more = rows.hasNext();
    if (more != answers.hasNext()) throw otherRows();
    return more;
  }

  private static CremaException otherRows() {
    return new CremaException("the rows were others when they were read again: cache the DataFrame before transform()");
  }

  @Override
  public Row next() {
    Row both = rows.next(), row = both.getStruct(carried), answer = answers.next();
    if (!both.getString(carried - 1).equals(answer.getString(0))) throw otherRows();
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

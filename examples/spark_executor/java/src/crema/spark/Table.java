// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import static org.apache.spark.sql.functions.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.apache.spark.ml.functions;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.*;

/**
 * The rows of one data layer: a DataFrame with the columns that the layer wants, each of a type that the engine takes.
 *
 * <pre>
 *   Table table = Table.of(spark.read().parquet("train"), source, true);
 *   table.rows();       // data: binary, label: bigint
 * </pre>
 */
record Table(Dataset<Row> rows, List<Column> columns) {
  static final String POSITION = "crema position";

  /**
   * @param labels whether labels have to be there: features can be extracted without
   * @param carried more columns, which stay behind those
   * @throws CremaException for a column that is missing or cannot be used, with what to do
   */
  static Table of(Dataset<Row> rows, Plan.Source source, boolean labels, org.apache.spark.sql.Column... carried) {
    List<org.apache.spark.sql.Column> selected = new ArrayList<>();
    List<Column> columns = new ArrayList<>();
    List<String> names = Arrays.asList(rows.columns());
    for (Plan.Wanted wanted : source.columns()) {
      if (!names.contains(wanted.name())) {
        if (wanted.label() && !labels) continue;
        throw new CremaException("the rows of layer '" + source.layer() + "' (" + source.phase() + ") have no column '" + wanted.name() + "', only "
            + String.join(", ", names) + ": rename one, for example by dataframe_column_select (selectExpr, where a DataFrame is given): \"" + names.get(0) + " as " + wanted.name() + "\"");
      }
      add(rows, wanted.name(), wanted.types(), selected, columns);
      if (Interleaved.describes(source, wanted, names) && columns.get(columns.size() - 1).type() == Column.Type.BYTES)
        selected.add(Interleaved.planes(rows, source, wanted, selected.remove(selected.size() - 1)));
    }
    if (names.contains("id")) add(rows, "id", List.of("STRING"), selected, columns);
    selected.addAll(Arrays.asList(carried));
    return new Table(rows.select(selected.toArray(new org.apache.spark.sql.Column[0])), columns);
  }

  private static void add(Dataset<Row> rows, String name, List<String> taken, List<org.apache.spark.sql.Column> selected, List<Column> columns) {
    DataType type = rows.schema().apply(name).dataType();
    org.apache.spark.sql.Column column = rows.col("`" + name + "`");
    if (type instanceof StructType struct && Arrays.asList(struct.fieldNames()).contains("image")) {  // CaffeOnSpark's image with its size
      type = struct.apply("image").dataType();
      column = column.getField("image");
    }
    if (type.sameType(SQLDataTypes.VectorType())) {
      column = functions.vector_to_array(column, "float32");
      type = DataTypes.createArrayType(DataTypes.FloatType);
    }
    Column.Type kind = kind(type);
    if (kind != null && !taken.contains(kind.name())) kind = taken.equals(List.of("STRING")) && kind == Column.Type.INT ? Column.Type.STRING : null;
    if (kind == null)
      throw new CremaException("column '" + name + "' is of type " + type.simpleString() + ", which cannot be used as " + String.join(" or ", taken)
          + ": cast it, for example by dataframe_column_select (selectExpr, where a DataFrame is given): \"cast(" + name + " as " + example(taken.get(0)) + ") as " + name + "\"");
    selected.add(column.cast(sqlType(kind)).as(name));
    columns.add(new Column(name, kind));
  }

  private static Column.Type kind(DataType type) {
    if (type instanceof DecimalType || type.equals(DataTypes.FloatType) || type.equals(DataTypes.DoubleType)) return Column.Type.FLOAT;
    if (type instanceof NumericType || type.equals(DataTypes.BooleanType)) return Column.Type.INT;
    if (type.equals(DataTypes.BinaryType)) return Column.Type.BYTES;
    if (type instanceof StringType) return Column.Type.STRING;
    return type instanceof ArrayType array && array.elementType() instanceof NumericType ? Column.Type.FLOATS : null;
  }

  private static String sqlType(Column.Type kind) {
    return switch (kind) {
      case INT -> "bigint";
      case FLOAT -> "float";
      case BYTES -> "binary";
      case FLOATS -> "array<float>";
      case STRING -> "string";
    };
  }

  private static String example(String type) {
    return sqlType(Column.Type.valueOf(type));
  }

  /**
   * Whether the rows pass through a shuffle on their way here: then a second look at them may find them in another order, or
   * dealt to partitions otherwise.
   */
  boolean shuffled() {
    return rows.queryExecution().executedPlan().toString().contains("Exchange");
  }

  /**
   * These rows, each known by a hash of the columns that the engine reads: its id. What comes behind them stays. Rows that come
   * out of a shuffle are put into an order, so that two readings agree.
   */
  Table fingerprinted() {
    List<Column> kept = columns.stream().filter(c -> !c.name().equals("id")).toList();
    org.apache.spark.sql.Column[] read = kept.stream().map(c -> col("`" + c.name() + "`")).toArray(org.apache.spark.sql.Column[]::new);
    List<org.apache.spark.sql.Column> selected = new ArrayList<>(Arrays.asList(read));
    selected.add(xxhash64(read).cast("string").as("id"));
    for (String name : rows.columns())
      if (columns.stream().noneMatch(c -> c.name().equals(name))) selected.add(col("`" + name + "`"));
    List<Column> all = new ArrayList<>(kept);
    all.add(new Column("id", Column.Type.STRING));
    Dataset<Row> known = rows.select(selected.toArray(new org.apache.spark.sql.Column[0]));
    return new Table(shuffled() ? known.sortWithinPartitions("id") : known, all);
  }

  /** These rows with their positions in the whole data set as a last column, and how many there are. */
  Numbered numbered() {
    Dataset<Row> counts = rows.select(spark_partition_id().as("partition")).groupBy("partition").count();
    List<Row> list = new ArrayList<>(counts.collectAsList());
    list.sort(Comparator.comparingInt(r -> r.getInt(0)));
    int partitions = list.isEmpty() ? 0 : list.get(list.size() - 1).getInt(0) + 1;
    Long[] before = new Long[Math.max(partitions, 1)];  // rows in the partitions before
    Arrays.fill(before, 0L);
    long total = 0;
    for (Row r : list) {
      before[r.getInt(0)] = total;
      total += r.getLong(1);
    }
    // The id's upper bits are the partition, its lower 33 bits count the rows within.
    String id = "monotonically_increasing_id()", starts = "array(" + join(before) + ")";
    String position = "element_at(" + starts + ", cast(shiftright(" + id + ", 33) as int) + 1) + (" + id + " & 8589934591)";
    org.apache.spark.sql.Column[] names = columns.stream().map(c -> col("`" + c.name() + "`")).toArray(org.apache.spark.sql.Column[]::new);
    List<org.apache.spark.sql.Column> all = new ArrayList<>(Arrays.asList(names));
    all.add(expr(position).as(POSITION));
    return new Numbered(rows.select(all.toArray(new org.apache.spark.sql.Column[0])), columns, total);
  }

  private static String join(Long[] values) {
    StringBuilder s = new StringBuilder();
    for (Long v : values) s.append(s.length() == 0 ? "" : ", ").append(v).append('L');
    return s.toString();
  }

  record Numbered(Dataset<Row> rows, List<Column> columns, long total) {}
}

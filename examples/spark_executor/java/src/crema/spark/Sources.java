// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** The rows behind a data layer's {@code source_class} and {@code source}: CaffeOnSpark's classes, by their names. */
final class Sources {
  private Sources() {}

  static Dataset<Row> load(SparkSession spark, Plan.Source source) {
    String name = source.sourceClass().replaceFirst("^com\\.yahoo\\.ml\\.caffe\\.", "");
    if (source.source().isEmpty())
      throw new CremaException("layer '" + source.layer() + "' (" + source.phase() + ") names no source: give a DataFrame, or the source of a table in the net");
    Dataset<Row> rows = switch (name) {
      case "", "ImageDataFrame", "DataFrameSource" -> spark.read().format(source.format()).load(source.source());
      case "SeqImageDataSource" -> SequenceFiles.load(spark, source.source());
      default -> throw new CremaException("layer '" + source.layer() + "': source_class " + source.sourceClass()
          + " is not one of ImageDataFrame, DataFrameSource, SeqImageDataSource and LMDB: make a DataFrame of its rows, and use com.yahoo.ml.caffe.ImageDataFrame");
    };
    return select(rows, source);
  }

  /** The columns that the layer's {@code dataframe_column_select} makes. */
  static Dataset<Row> select(Dataset<Row> rows, Plan.Source source) {
    return source.select().isEmpty() ? rows : rows.selectExpr(source.select().toArray(new String[0]));
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import org.apache.hadoop.io.BytesWritable;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import scala.Product;

/**
 * CaffeOnSpark's SequenceFiles of images: the key is a serialised Scala tuple (id, label) or (id, label, channels, height, width,
 * encoded), the value the image. They become rows of these, and data; an image without a size is encoded.
 */
final class SequenceFiles {
  /** What a key may hold: nothing else is made of bytes from outside. */
  private static final ObjectInputFilter KEYS = ObjectInputFilter.Config.createFilter(
      "maxdepth=3;maxrefs=20;maxbytes=65536;scala.Tuple2;scala.Tuple6;java.lang.String;java.lang.Integer;java.lang.Boolean;java.lang.Number;!*");
  private static final StructType SCHEMA = new StructType()
      .add("id", DataTypes.StringType).add("label", DataTypes.StringType)
      .add("channels", DataTypes.IntegerType).add("height", DataTypes.IntegerType).add("width", DataTypes.IntegerType).add("encoded", DataTypes.BooleanType)
      .add("data", DataTypes.BinaryType);

  private SequenceFiles() {}

  static Dataset<Row> load(SparkSession spark, String source) {
    JavaRDD<Row> rows = JavaSparkContext.fromSparkContext(spark.sparkContext())
        .sequenceFile(source, BytesWritable.class, BytesWritable.class)
        .map(pair -> row(pair._1().copyBytes(), pair._2().copyBytes()));
    return spark.createDataFrame(rows, SCHEMA);
  }

  private static Row row(byte[] key, byte[] image) {
    try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(key))) {
      in.setObjectInputFilter(KEYS);
      Product tuple = (Product) in.readObject();
      Object[] row = {String.valueOf(tuple.productElement(0)), String.valueOf(tuple.productElement(1)), 0, 0, 0, true, image};
      for (int i = 2; i < tuple.productArity(); ++i) row[i] = tuple.productElement(i);
      return RowFactory.create(row);
    } catch (IOException | ClassNotFoundException | ClassCastException e) {
      throw new CremaException("a key of the SequenceFile is no Scala tuple (id, label, ...) as CaffeOnSpark's tools write it: " + e.getMessage(), e);
    }
  }
}

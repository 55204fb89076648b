// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;
import java.io.Serializable;
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
import scala.Tuple2;

/**
 * CaffeOnSpark's SequenceFiles of images: the key is a serialised Scala tuple (id, label) or (id, label, channels, height, width,
 * encoded), or a Pair (id, label) of its older files; the value is the image. They become rows of these, and data; an image without
 * a size is encoded.
 */
final class SequenceFiles {
  /** What a key may hold: nothing else is made of bytes from outside. */
  private static final ObjectInputFilter KEYS = ObjectInputFilter.Config.createFilter(
      "maxdepth=3;maxrefs=20;maxbytes=65536;scala.Tuple2;scala.Tuple6;java.lang.String;java.lang.Integer;java.lang.Boolean;java.lang.Number;"
          + Pair.class.getName() + ";!*");
  private static final StructType SCHEMA = new StructType()
      .add("id", DataTypes.StringType).add("label", DataTypes.StringType)
      .add("channels", DataTypes.IntegerType).add("height", DataTypes.IntegerType).add("width", DataTypes.IntegerType).add("encoded", DataTypes.BooleanType)
      .add("data", DataTypes.BinaryType);

  private SequenceFiles() {}

  /** com.yahoo.ml.dl.caffe.Pair, whose class is not here: it has these two fields. */
  private static final class Pair implements Serializable {
    Object first, second;
  }

  /** Reads a key. The class behind it is known by name alone, because a Pair's version is of its compiler's making. */
  private static final class KeyStream extends ObjectInputStream {
    KeyStream(byte[] key) throws IOException {
      super(new ByteArrayInputStream(key));
      setObjectInputFilter(KEYS);
    }

    @Override
    protected ObjectStreamClass readClassDescriptor() throws IOException, ClassNotFoundException {
      ObjectStreamClass written = super.readClassDescriptor();
      return written.getName().equals("com.yahoo.ml.dl.caffe.Pair") ? ObjectStreamClass.lookup(Pair.class) : written;
    }
  }

  static Dataset<Row> load(SparkSession spark, String source) {
    JavaRDD<Row> rows = JavaSparkContext.fromSparkContext(spark.sparkContext())
        .sequenceFile(source, BytesWritable.class, BytesWritable.class)
        .map(pair -> row(pair._1().copyBytes(), pair._2().copyBytes()));
    return spark.createDataFrame(rows, SCHEMA);
  }

  private static Row row(byte[] key, byte[] image) {
    try (KeyStream in = new KeyStream(key)) {
      Object read = in.readObject();
      Product tuple = read instanceof Pair pair ? new Tuple2<>(pair.first, pair.second) : (Product) read;
      Object[] row = {String.valueOf(tuple.productElement(0)), String.valueOf(tuple.productElement(1)), 0, 0, 0, true, image};
      for (int i = 2; i < tuple.productArity(); ++i) row[i] = tuple.productElement(i);
      return RowFactory.create(row);
    } catch (IOException | ClassNotFoundException | ClassCastException e) {
      throw new CremaException("a key of the SequenceFile is no Scala tuple (id, label, ...) or Pair as CaffeOnSpark's tools write it: " + e.getMessage(), e);
    }
  }
}

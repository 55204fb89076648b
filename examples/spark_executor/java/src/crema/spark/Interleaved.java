// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import static org.apache.spark.sql.functions.*;

import java.util.List;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.api.java.UDF5;
import org.apache.spark.sql.types.DataTypes;

/**
 * Rows of CaffeOnSpark, which say of each image its {@code channels}, {@code height} and {@code width}, and perhaps whether it is
 * {@code encoded}: the pixels of one that is not are a cv::Mat's, H,W,C. The engine takes C,H,W.
 */
record Interleaved(String layer, Plan.Wanted wanted) implements UDF5<byte[], Integer, Integer, Integer, Boolean, byte[]> {
  private static final List<String> EXTENTS = List.of("channels", "height", "width");
  private static final String ENCODED = "encoded";

  /** Whether columns of these names describe the images of a data layer. CoSData describes its own. */
  static boolean describes(Plan.Source source, Plan.Wanted wanted, List<String> names) {
    return !wanted.label() && source.columns().stream().anyMatch(Plan.Wanted::label) && names.containsAll(EXTENTS);
  }

  static Column planes(Dataset<Row> rows, Plan.Source source, Plan.Wanted wanted, Column data) {
    Column encoded = List.of(rows.columns()).contains(ENCODED) ? rows.col(ENCODED).cast("boolean") : lit(source.encoded());
    Column[] of = EXTENTS.stream().map(name -> rows.col(name).cast("int")).toArray(Column[]::new);
    return udf(new Interleaved(source.layer(), wanted), DataTypes.BinaryType).apply(data, of[0], of[1], of[2], encoded).as(wanted.name());
  }

  @Override
  public byte[] call(byte[] image, Integer channels, Integer height, Integer width, Boolean encoded) {
    boolean described = channels != null && height != null && width != null && height > 0 && width > 0;
    if (image == null || Boolean.TRUE.equals(encoded) || !described) return image;
    boolean fits = image.length == (long) channels * height * width;
    if (!fits && image.length != wanted.values()) return image;  // no raw pixels: the engine looks what it is
    if (!fits || channels != wanted.channels() || height != wanted.height() || width != wanted.width())
      throw new CremaException(String.format("layer '%s' takes images of %d x %d x %d, and a row has %d bytes of one of %d x %d x %d: resize raw images before, or encode them and give -resize",
          layer, wanted.channels(), wanted.height(), wanted.width(), image.length, channels, height, width));
    byte[] planes = new byte[image.length];
    int pixels = height * width;
    for (int c = 0; c < channels; ++c)
      for (int i = 0; i < pixels; ++i) planes[c * pixels + i] = image[i * channels + c];
    return planes;
  }
}

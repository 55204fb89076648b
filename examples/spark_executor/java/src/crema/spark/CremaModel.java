// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.spark.ml.Model;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWriter;
import org.apache.spark.ml.util.Identifiable$;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.ml.util.MLWritable;
import org.apache.spark.ml.util.MLWriter;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/**
 * A trained net as a stage of an ML pipeline: adds a column for each of its features, and a prediction, which is the index of the
 * greatest value of the first. Saved, it carries its weights and its net.
 */
public class CremaModel extends Model<CremaModel> implements CremaStage, MLWritable {
  private static final String WEIGHTS = "weights.caffemodel";

  private final String uid;
  private final Param<String> solver, roots;
  private final CremaParams params;

  public CremaModel() {
    this(Identifiable$.MODULE$.randomUID("crema"));
  }

  public CremaModel(String uid) {
    this.uid = uid;  // parameters ask for it
    solver = new Param<>(this, "solver", "the solver with its nets, as text");
    roots = new Param<>(this, "roots", "folders that its data layers may read, for a mean file above all: those of the training");
    params = new CremaParams(this);
    setDefault(params.predictionCol, "prediction");
  }

  @Override
  public String uid() {
    return uid;
  }

  public Param<String> solver() {
    return solver;
  }

  public Param<String> roots() {
    return roots;
  }

  @Override
  public CremaParams shared() {
    return params;
  }

  public CremaModel setFeatures(String value) {
    return (CremaModel) set(params.features, value);
  }

  public CremaModel setPredictionCol(String value) {
    return (CremaModel) set(params.predictionCol, value);
  }

  /** Options of the command line other than those that the model was trained with. */
  public CremaModel setOptions(String... values) {
    return (CremaModel) set(params.options, values);
  }

  @Override
  public Dataset<Row> transform(Dataset<?> rows) {
    Path file = null;
    try {
      file = Files.createTempFile("crema-", ".prototxt");
      Files.writeString(file, getOrDefault(solver));
      Options options = params.commandLine(this, file.toString());
      if (isSet(roots)) options = options.with("-data_root", getOrDefault(roots) + "," + options.text("data_root", ""));
      CremaOnSpark crema = new CremaOnSpark(rows.sparkSession(), options);
      return crema.featuresBeside(rows.toDF(), transformSchema(rows.schema()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } finally {
      if (file != null) file.toFile().delete();
    }
  }

  @Override
  public StructType transformSchema(StructType schema) {
    return extended(schema, getOrDefault(params.features), getOrDefault(params.predictionCol));
  }

  static StructType extended(StructType schema, String features, String prediction) {
    for (String blob : features.split(",")) schema = schema.add(blob.trim(), DataTypes.createArrayType(DataTypes.FloatType, false), false);
    return schema.add(prediction, DataTypes.DoubleType, false);
  }

  @Override
  public CremaModel copy(ParamMap extra) {
    CremaModel copy = defaultCopy(extra);
    return copy.setParent(parent());
  }

  @Override
  public MLWriter write() {
    return new MLWriter() {
      private final Storage storage = new Storage(sparkSession().sparkContext().hadoopConfiguration());
      private final org.apache.hadoop.fs.Path weights = storage.place(getOrDefault(params.model));

      @Override
      public void save(String path) throws IOException {
        if (weights.getParent().equals(storage.place(path))) throw new CremaException(path + " holds the weights of this model, and overwrite() would remove them first: save it elsewhere");
        super.save(path);
      }

      @Override
      public void saveImpl(String path) {
        try {
          new DefaultParamsWriter(CremaModel.this).session(sparkSession()).save(path);
          storage.copy(weights, new org.apache.hadoop.fs.Path(path, WEIGHTS));
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
    };
  }

  public static MLReader<CremaModel> read() {
    return new MLReader<>() {
      @Override
      public CremaModel load(String path) {
        CremaModel model = new DefaultParamsReader<CremaModel>().session(sparkSession()).load(path);
        return (CremaModel) model.set(model.params.model, new org.apache.hadoop.fs.Path(path, WEIGHTS).toString());
      }
    };
  }

  public static CremaModel load(String path) {
    return read().load(path);
  }
}

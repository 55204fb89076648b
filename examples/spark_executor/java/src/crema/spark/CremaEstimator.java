// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import org.apache.spark.ml.Estimator;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWritable;
import org.apache.spark.ml.util.Identifiable$;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.types.StructType;

/**
 * Training as a stage of an ML pipeline.
 *
 * <pre>
 *   new Pipeline().setStages(new PipelineStage[] {
 *       new CremaEstimator().setConf("lenet_solver.prototxt").setModel("hdfs:///lenet.caffemodel").setFeatures("ip2").setOptions("-clusterSize", "2")});
 * </pre>
 *
 * The net's TRAIN layer takes the DataFrame's rows; columns are named as for the command line.
 */
public class CremaEstimator extends Estimator<CremaModel> implements CremaStage, DefaultParamsWritable {
  private final String uid;
  private final Param<String> conf;
  private final CremaParams params;

  public CremaEstimator() {
    this(Identifiable$.MODULE$.randomUID("crema"));
  }

  public CremaEstimator(String uid) {
    this.uid = uid;  // parameters ask for it
    conf = new Param<>(this, "conf", "the solver's prototxt");
    params = new CremaParams(this);
    setDefault(params.predictionCol, "prediction");
  }

  @Override
  public String uid() {
    return uid;
  }

  public Param<String> conf() {
    return conf;
  }

  @Override
  public CremaParams shared() {
    return params;
  }

  /** The solver's prototxt, as -conf. */
  public CremaEstimator setConf(String value) {
    return (CremaEstimator) set(conf, value);
  }

  /** Where the weights go, as -model. */
  public CremaEstimator setModel(String value) {
    return (CremaEstimator) set(params.model, value);
  }

  /** The blobs that the model's columns are, as -features. */
  public CremaEstimator setFeatures(String value) {
    return (CremaEstimator) set(params.features, value);
  }

  public CremaEstimator setPredictionCol(String value) {
    return (CremaEstimator) set(params.predictionCol, value);
  }

  /** More of the command line. */
  public CremaEstimator setOptions(String... values) {
    return (CremaEstimator) set(params.options, values);
  }

  @Override
  public CremaModel fit(Dataset<?> rows) {
    if (!isSet(conf)) throw new CremaException("conf is not set: the solver's prototxt");
    CremaOnSpark crema = new CremaOnSpark(rows.sparkSession(), params.commandLine(this, getOrDefault(conf)));
    crema.train(rows.toDF());
    CremaModel model = new CremaModel(uid);
    copyValues(model, paramMap().$plus$plus(ParamMap.empty()));
    model.set(model.solver(), crema.plan().solver());
    model.set(model.roots(), String.join(",", crema.work().roots()));
    return model.setParent(this);
  }

  @Override
  public StructType transformSchema(StructType schema) {
    return CremaModel.extended(schema, getOrDefault(params.features), getOrDefault(params.predictionCol));
  }

  @Override
  public CremaEstimator copy(ParamMap extra) {
    return defaultCopy(extra);
  }

  public static MLReader<CremaEstimator> read() {
    return new DefaultParamsReader<>();
  }

  public static CremaEstimator load(String path) {
    return read().load(path);
  }
}

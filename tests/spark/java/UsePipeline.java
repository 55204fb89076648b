// SPDX-License-Identifier: Apache-2.0
import crema.spark.CremaEstimator;
import org.apache.spark.ml.Pipeline;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.PipelineStage;
import org.apache.spark.sql.SparkSession;

/** A user's program: a pipeline is saved, loaded, fitted; its model is saved, loaded, and transforms. Arguments: CONF MODEL TRAIN TEST FOLDER. */
public final class UsePipeline {
  public static void main(String[] a) throws Exception {
    SparkSession spark = SparkSession.builder().getOrCreate();
    CremaEstimator stage = new CremaEstimator().setConf(a[0]).setModel(a[1]).setFeatures("ip").setOptions("-clusterSize", "2", "-threads", "1");
    new Pipeline().setStages(new PipelineStage[] {stage}).save(a[4] + "/unfitted");
    Pipeline.load(a[4] + "/unfitted").fit(spark.read().parquet(a[2])).save(a[4] + "/fitted");
    PipelineModel.load(a[4] + "/fitted").transform(spark.read().parquet(a[3])).write().parquet(a[4] + "/rows");
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.StringArrayParam;

/** The parameters that {@link CremaEstimator} and {@link CremaModel} share. Spark finds them by these methods, which therefore are public. */
public interface CremaStage {
  CremaParams shared();

  default Param<String> model() {
    return shared().model;
  }

  default Param<String> features() {
    return shared().features;
  }

  default Param<String> predictionCol() {
    return shared().predictionCol;
  }

  default StringArrayParam options() {
    return shared().options;
  }
}

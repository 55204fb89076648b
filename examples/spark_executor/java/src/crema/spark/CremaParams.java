// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.Params;
import org.apache.spark.ml.param.StringArrayParam;

/** What is behind {@link CremaStage}. */
public final class CremaParams {
  final Param<String> model, features, predictionCol;
  final StringArrayParam options;

  CremaParams(Params parent) {
    model = new Param<>(parent, "model", "URI of the .caffemodel, which all executors reach");
    features = new Param<>(parent, "features", "blobs of the test net that become columns, separated by commas");
    predictionCol = new Param<>(parent, "predictionCol", "the index of the greatest value of the first of the features");
    options = new StringArrayParam(parent, "options", "more options of the command line, such as -clusterSize 2");
  }

  /** The command line that the parameters of a stage make. */
  Options commandLine(Params stage, String conf) {
    List<String> words = new ArrayList<>(List.of("-conf", conf));
    if (stage.isSet(options)) words.addAll(Arrays.asList(stage.getOrDefault(options)));
    for (Param<String> p : List.of(model, features))
      if (stage.isSet(p)) words.addAll(List.of("-" + p.name(), stage.getOrDefault(p)));
    return Options.parse(words.toArray(new String[0]));
  }
}

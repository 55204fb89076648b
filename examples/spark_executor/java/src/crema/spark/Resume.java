// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.Serializable;
import org.apache.hadoop.fs.Path;

/** Where training goes on from: the places of a .solverstate and of its .caffemodel. */
record Resume(String state, String model) implements Serializable {
  /** The model that a snapshot writes beside a state. */
  static Path beside(Path state) {
    return new Path(state.getParent(), state.getName().replaceFirst("\\.solverstate$", ".caffemodel"));
  }
}

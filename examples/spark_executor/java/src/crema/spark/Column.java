// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.Serializable;

/** A column of a stream of rows. */
record Column(String name, Type type) implements Serializable {
  /** In the order of their numbers in the protocol. */
  enum Type { INT, FLOAT, BYTES, FLOATS, STRING }
}

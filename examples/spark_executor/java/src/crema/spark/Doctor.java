// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import org.apache.spark.sql.SparkSession;

/** -doctor. */
final class Doctor {
  static String report(SparkSession spark, Options options) { return ""; }
}

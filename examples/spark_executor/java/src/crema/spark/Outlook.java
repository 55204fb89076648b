// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.Locale;

/** What -plan prints: what a job will take, before it takes it. */
final class Outlook {
  private final CremaOnSpark crema;

  Outlook(CremaOnSpark crema) {
    this.crema = crema;
  }

  String text() { return ""; }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

/** Something that the caller can put right; the message says in one sentence what and how. */
public class CremaException extends RuntimeException {
  public CremaException(String message) {
    super(message);
  }

  public CremaException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The one that Spark has wrapped into its own, or null. */
  static CremaException in(Throwable e) {
    while (e != null && !(e instanceof CremaException)) e = e.getCause();
    return (CremaException) e;
  }
}

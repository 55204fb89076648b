// SPDX-License-Identifier: Apache-2.0
package crema.spark;

/** One line to the engine: a word and a message in protobuf's text format (docs/spark_protocol.md). */
final class Order {
  private final StringBuilder line;

  Order(String word) {
    line = new StringBuilder(word);
  }

  /** A string, in quotes; none where the value is null. */
  Order text(String field, String value) {
    if (value == null) return this;
    line.append(' ').append(field).append(": \"");
    for (char c : value.toCharArray()) {
      switch (c) {
        case '"', '\\' -> line.append('\\').append(c);
        case '\n' -> line.append("\\n");
        case '\r' -> line.append("\\r");
        default -> line.append(c);
      }
    }
    line.append('"');
    return this;
  }

  Order texts(String field, Iterable<String> values) {
    for (String value : values) text(field, value);
    return this;
  }

  /** A number, a truth value or the name of an enumerator; none where the value is null. */
  Order value(String field, Object value) {
    if (value != null) line.append(' ').append(field).append(": ").append(value);
    return this;
  }

  Order message(String field, Order inner) {
    line.append(' ').append(field).append(" {").append(inner.line).append(" }");
    return this;
  }

  @Override
  public String toString() {
    return line.toString();
  }
}

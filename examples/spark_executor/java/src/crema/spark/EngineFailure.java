// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.util.List;
import java.util.Set;

/** The end of an engine that was not asked for: who, where, how, and the last lines that it logged. */
public final class EngineFailure extends CremaException {
  /** Kinds of failure that come again however often one tries. */
  private static final Set<String> HOPELESS = Set.of("spec", "shape", "data", "usage");

  private final int rank;
  private final String kind;
  private final boolean witness;

  /**
   * @param kind the kind of the engine's {@code fail} event, or {@code "lost"}
   * @param why what the engine, or the host in its place, says
   * @param log the last lines of the engine's log
   */
  public EngineFailure(int rank, String host, String kind, boolean witness, String why, List<String> log) {
    super(text(rank, host, witness, why, log));
    this.rank = rank;
    this.kind = kind;
    this.witness = witness;
  }

  /** A witness's words begin with the rank that it lost. */
  private static String text(int rank, String host, boolean witness, String why, List<String> log) {
    String tail = log.isEmpty() ? "" : "\n  the last lines of its log:\n    " + String.join("\n    ", log);
    String who = "rank " + rank + " on " + host;
    return (witness ? why + ", says " + who : who + ": " + why) + tail;
  }

  public int rank() {
    return rank;
  }

  /** Whether a later attempt may go better. */
  public boolean worthRetrying() {
    return !HOPELESS.contains(kind);
  }

  /** Whether this engine only saw another one go: its own message is not the reason. */
  public boolean isWitness() {
    return witness;
  }
}

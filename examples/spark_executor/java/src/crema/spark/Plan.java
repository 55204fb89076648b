// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What the engine says about a job before it runs: its event {@code plan}. */
record Plan(
    long maxIter, boolean tests, long testInterval, long snapshot, String snapshotPrefix, String solver, long batch, long parameters,
    Map<String, Long> bytes, List<Source> sources, List<String> trainOutputs, List<String> testOutputs, List<String> blobs) {

  static final String TRAIN = "TRAIN", TEST = "TEST";

  /** A column that a data layer wants, and the types that it takes. A label has no shape. */
  record Wanted(String name, List<String> types, boolean label, int channels, int height, int width) implements Serializable {
    long values() {
      return (long) channels * height * width;
    }
  }

  /** A data layer. */
  record Source(
      String phase, String layer, String sourceClass, String source, List<String> files, List<String> perhaps, String format, List<String> select, long batch, long block, int first,
      boolean streamed, boolean encoded, List<Wanted> columns) implements Serializable {}

  static Plan of(JsonNode e) {
    Map<String, Long> bytes = new LinkedHashMap<>();
    e.path("bytes").properties().forEach(b -> bytes.put(b.getKey(), b.getValue().asLong()));
    List<Source> sources = new ArrayList<>();
    for (JsonNode s : e.path("sources")) sources.add(source(s));
    return new Plan(
        e.path("max_iter").asLong(), tests(e), e.path("test_interval").asLong(), e.path("snapshot").asLong(), e.path("snapshot_prefix").asText(),
        e.path("solver").asText(), e.path("batch").asLong(), e.path("parameters").asLong(), bytes, sources,
        texts(e.path("outputs").path("train")), texts(e.path("outputs").path("test")), texts(e.path("blobs")));
  }

  private static Source source(JsonNode s) {
    List<Wanted> columns = new ArrayList<>();
    for (JsonNode c : s.path("columns"))
      columns.add(new Wanted(c.path("name").asText(), texts(c.path("types")), !c.has("channels"),
          c.path("channels").asInt(1), c.path("height").asInt(1), c.path("width").asInt(1)));
    return new Source(
        s.path("phase").asText(), s.path("layer").asText(), s.path("source_class").asText(), s.path("source").asText(), texts(s.path("files")), texts(s.path("perhaps")),
        s.path("format").asText("parquet"), texts(s.path("select")), s.path("batch").asLong(), s.path("block").asLong(), s.path("first").asInt(),
        s.path("streamed").asBoolean(), s.path("encoded").asBoolean(), columns);
  }

  private static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(t -> texts.add(t.asText()));
    return texts;
  }

  /** The layer of a phase whose rows the host has to send, or null where the engine reads files. */
  Source streamed(String phase) {
    return sources.stream().filter(s -> s.streamed && s.phase.equals(phase)).findFirst().orElse(null);
  }

  /** Whether training is validated. */
  private static boolean tests(JsonNode e) {
    for (JsonNode iterations : e.path("test_iter"))
      if (iterations.asLong() > 0) return e.path("test_interval").asLong() > 0;
    return false;
  }
}

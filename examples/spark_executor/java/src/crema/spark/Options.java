// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The command line: CaffeOnSpark's options, which keep their names and meanings, and crema's own.
 *
 * <pre>Options o = Options.parse("-train", "-conf", "lenet_solver.prototxt", "-model", "hdfs:///lenet.caffemodel");</pre>
 *
 * Numbers are checked here; everything that has to do with training is the engine's to check.
 */
public final class Options implements Serializable {
  private enum Kind { FLAG, TEXT, COUNT, LONG, REAL, REFUSED }

  private record Option(Kind kind, String help) {}

  private static final Map<String, Option> TABLE = new LinkedHashMap<>();

  private static void option(Kind kind, String name, String help) {
    TABLE.put(name, new Option(kind, help));
  }

  static {
    option(Kind.FLAG, "train", "train; with test_interval in the solver the test net is scored on the way");
    option(Kind.FLAG, "test", "score -model on the test net");
    option(Kind.TEXT, "features", "blobs to extract for each sample, separated by commas");
    option(Kind.TEXT, "label", "one more blob for -features");
    option(Kind.TEXT, "conf", "the solver's prototxt: a local file, one of --files, or a URI");
    option(Kind.TEXT, "net", "a net's prototxt in place of the one that the solver names");
    option(Kind.TEXT, "model", "URI of the .caffemodel: written by -train, read by -test and -features; snapshots go beside it");
    option(Kind.TEXT, "weights", "URIs of .caffemodel files to start from, separated by commas");
    option(Kind.TEXT, "snapshot", "URI of a .solverstate to go on from, or auto: the newest beside -model, if any");
    option(Kind.TEXT, "output", "URI for features (a folder), or for the scores of -test (a text file); default output");
    option(Kind.TEXT, "outputFormat", "of features: json (default), parquet, or any writer of Spark");
    option(Kind.COUNT, "clusterSize", "engines, one in each task; default spark.executor.instances, or 1");
    option(Kind.COUNT, "devices", "replicas in each engine; default 1");
    option(Kind.FLAG, "persistent", "keep the rows that are read on the executors' disks");
    option(Kind.FLAG, "resize", "resize encoded images to the height and width of the data layer");
    option(Kind.TEXT, "connection", "ethernet (default) or mpi");
    option(Kind.COUNT, "lmdb_partitions", "not needed: each engine reads its shards of an LMDB; has no effect");

    option(Kind.TEXT, "engine", "the engine: an absolute path, or a name under --files or --archives; default crema_executor");
    option(Kind.TEXT, "data_root", "folders on every executor that data layers may read, separated by commas");
    option(Kind.COUNT, "threads", "of each engine; default spark.task.cpus");
    option(Kind.TEXT, "strategy", "how ranks agree: synchronous (default), local_sgd, easgd, eamsgd, downpour, bounded_delay");
    option(Kind.COUNT, "tau", "local_sgd, easgd, eamsgd: steps between meetings");
    option(Kind.LONG, "local_from", "local_sgd: meets at every step until this iteration");
    option(Kind.REAL, "alpha", "easgd, eamsgd: moving rate");
    option(Kind.COUNT, "n_fetch", "downpour: steps between fetches");
    option(Kind.COUNT, "n_push", "downpour: steps between pushes");
    option(Kind.LONG, "delay", "bounded_delay: iterations that a step may be ahead of the oldest in work");
    option(Kind.FLAG, "bfloat16", "synchronous: gradients travel as bfloat16");
    option(Kind.LONG, "seed", "of weights, shuffling and dropout; default the solver's");
    option(Kind.COUNT, "retries", "attempts after the first, from the newest snapshot; default 3");
    option(Kind.COUNT, "slots_deadline", "seconds to wait for clusterSize free slots; default 60");
    option(Kind.REAL, "deadline", "seconds until all engines must have met; default 30");
    option(Kind.REAL, "silence", "seconds after which a silent engine is lost; default 10");
    option(Kind.REAL, "timeout", "seconds that one message may take; default 60");
    option(Kind.REAL, "progress", "seconds between lines of progress; default 1");
    option(Kind.TEXT, "curve", "URI for the validation curve of -train, in -outputFormat");
    option(Kind.FLAG, "plan", "print ranks, hosts, steps, memory and disk that the job needs; trains nothing");
    option(Kind.FLAG, "doctor", "try engine, ports, disk, clocks and GPUs on each executor; status 1 for trouble; trains nothing");
    option(Kind.FLAG, "help", "print this");

    for (String tool : List.of("imageRoot", "labelFile", "captionFile", "captionLength", "vocabSize", "imageCaptionDFDir", "vocabDir", "embeddingDFDir"))
      option(Kind.REFUSED, tool, "an option of CaffeOnSpark's tools, which are not here: make the DataFrame with Spark (spark.read().format(\"binaryFile\") reads images)");
  }

  private final Map<String, String> given = new LinkedHashMap<>();

  private Options() {}

  /** Throws {@link CremaException} with one sentence for an option that is unknown, refused or has a bad value. */
  public static Options parse(String... arguments) {
    Options o = new Options();
    for (int i = 0; i < arguments.length; ++i) {
      String name = arguments[i].replaceFirst("^--?", "").replace('-', '_');  // --data-root as for the program crema
      Option option = TABLE.get(name);
      if (option == null || name.equals(arguments[i])) throw new CremaException(unknown(arguments[i]));
      if (option.kind == Kind.REFUSED) throw new CremaException("-" + name + ": " + option.help);
      if (option.kind != Kind.FLAG && ++i == arguments.length) throw new CremaException("-" + name + " needs a value: " + option.help);
      o.set(name, option.kind == Kind.FLAG ? "true" : arguments[i]);
    }
    return o;
  }

  /** These options with others on top of them. */
  public Options with(String... arguments) {
    Options o = new Options();
    o.given.putAll(given);
    o.given.putAll(parse(arguments).given);
    return o;
  }

  private void set(String name, String value) {
    try {
      switch (TABLE.get(name).kind) {
        case COUNT -> {
          if (Integer.parseInt(value) < 0) throw new NumberFormatException();
        }
        case LONG -> {
          if (Long.parseLong(value) < 0) throw new NumberFormatException();
        }
        case REAL -> {
          if (!(Double.parseDouble(value) >= 0)) throw new NumberFormatException();
        }
        default -> { }
      }
    } catch (NumberFormatException e) {
      throw new CremaException("-" + name + " " + value + ": not a number from 0, or too great");
    }
    if (name.equals("connection") && !List.of("ethernet", "mpi").contains(value.toLowerCase()))
      throw new CremaException("-connection " + value + ": there is ethernet, and mpi, whose library brings InfiniBand where the cluster has it");
    if (List.of("clusterSize", "devices").contains(name) && Integer.parseInt(value) < 1)
      throw new CremaException("-" + name + " " + value + ": at least 1");
    given.put(name, value);
  }

  private static String unknown(String argument) {
    String wanted = argument.replaceFirst("^-+", "").toLowerCase();
    List<String> near = new ArrayList<>();
    for (String name : TABLE.keySet())
      if (TABLE.get(name).kind != Kind.REFUSED && !wanted.isEmpty() && (name.toLowerCase().startsWith(wanted) || wanted.startsWith(name.toLowerCase()))) near.add("-" + name);
    return argument + ": no such option" + (near.isEmpty() ? "; -help lists them" : "; is it " + String.join(" or ", near) + "?");
  }

  static String help() {
    StringBuilder s = new StringBuilder("spark-submit --class crema.spark.CremaOnSpark crema-spark.jar OPTIONS\n");
    TABLE.forEach((name, option) -> {
      if (option.kind != Kind.REFUSED) s.append(String.format("  %-17s %s%n", "-" + name, option.help));
    });
    return s.toString();
  }

  public boolean flag(String name) {
    return given.containsKey(name);
  }

  /** What was given, or null. */
  public String text(String name) {
    return given.get(name);
  }

  public String text(String name, String otherwise) {
    return given.getOrDefault(name, otherwise);
  }

  public int count(String name, int otherwise) {
    return given.containsKey(name) ? Integer.parseInt(given.get(name)) : otherwise;
  }

  public double real(String name, double otherwise) {
    return given.containsKey(name) ? Double.parseDouble(given.get(name)) : otherwise;
  }

  /** The parts of a list that is separated by commas. */
  public List<String> list(String name) {
    if (!given.containsKey(name)) return List.of();
    return Arrays.stream(given.get(name).split(",")).map(String::trim).filter(s -> !s.isEmpty()).toList();
  }

  /** What -features and -label ask for. */
  public List<String> blobs() {
    List<String> blobs = new ArrayList<>(list("features"));
    String label = text("label");
    if (label != null && !blobs.contains(label)) blobs.add(label);
    return blobs;
  }

  public int devices() {
    return count("devices", 1);
  }

  /** What is given, for messages. */
  String required(String name, String why) {
    if (!given.containsKey(name)) throw new CremaException("-" + name + " is missing: " + why);
    return given.get(name);
  }

  /** The fields of a job that are passed on as they are: the engine knows what they mean. */
  Order describe(Order job) {
    job.value("ranks_here", devices());
    for (String name : List.of("seed", "tau", "local_from", "alpha", "n_fetch", "n_push", "delay", "deadline", "silence", "timeout", "progress", "resize", "bfloat16"))
      job.value(name, given.get(name));
    return job.text("strategy", given.get("strategy"));
  }
}

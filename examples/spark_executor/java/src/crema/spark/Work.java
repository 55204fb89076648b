// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.net.URI;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkEnv;
import org.apache.spark.SparkFiles;
import org.apache.spark.TaskContext;
import org.apache.spark.resource.ResourceInformation;
import org.apache.spark.util.SerializableConfiguration;
import org.apache.spark.util.TaskCompletionListener;

/**
 * What every task of a job has to know to run its engine: options, the solver's text, weights. The driver makes it, Spark carries
 * it to the tasks.
 *
 * @param weights places of .caffemodel files
 * @param roots folders that data layers may read, where they exist
 * @param copies places whose {@link Copies} the engines read
 */
record Work(Options options, String solver, List<String> weights, List<String> roots, List<String> copies, SerializableConfiguration hadoop) implements Serializable {
  static final String SOLVER = "solver.prototxt";

  Storage storage() {
    return new Storage(hadoop.value());
  }

  Configuration configuration() {
    return hadoop.value();
  }

  Work withWeights(List<String> others) {
    return new Work(options, solver, others, roots, copies, hadoop);
  }

  /** Starts the task's engine, which ends with the task whatever way that goes. */
  Engine start(TaskContext context, int rank, String address, String host) throws IOException {
    Engine engine = Engine.start(program(options.text("engine")), scratch(rank), address, rank, host);
    context.addTaskCompletionListener((TaskCompletionListener) c -> engine.close());
    engine.watch(context::isInterrupted, options.real("silence", 10));
    Files.writeString(engine.folder().resolve(SOLVER), solver);
    Copies.link(copies, engine.folder());
    return engine;
  }

  /** A job with what all modes share; weights and the like are fetched to the engine's folder. */
  Order order(Engine engine, TaskContext context, String mode, int rank, int size) throws IOException {
    Order job = options.describe(new Order("job").value("mode", mode).text("solver", SOLVER).value("rank", rank).value("size", size));
    job.value("threads", options.count("threads", (int) Math.ceil(SparkEnv.get().conf().getDouble("spark.task.cpus", 1)))).texts("data_root", folders()).text("data_root", engine.folder().toString());
    int i = 0;
    for (String place : weights)
      job.text("weights", storage().download(new Path(place), engine.folder().toFile(), "weights-" + i++ + ".caffemodel").getName());
    ResourceInformation gpus = context.resourcesJMap().get("gpu");
    if (gpus != null) job.texts("gpu", List.of(gpus.addresses()));
    return job;
  }

  /** On the driver: the newest whole snapshot of those that are wanted, or null. */
  Resume newest(Path folder, String prefix, Predicate<Storage.Snapshot> wanted) throws IOException {
    for (Storage.Snapshot s : storage().snapshots(folder, prefix).descendingMap().values())
      if (wanted.test(s) && isWhole(s.resume())) return s.resume();
    return null;
  }

  /** The engine knows the checksums. */
  private boolean isWhole(Resume snapshot) throws IOException {
    try (Engine engine = Engine.start(program(options.text("engine")), new File(System.getProperty("java.io.tmpdir")), null, 0, "the driver")) {
      engine.watch(() -> false, options.real("silence", 10));
      engine.send(new Order("job").value("mode", "VERIFY").text("state", download(snapshot, engine)));
      engine.finish();
      return true;
    } catch (EngineFailure e) {
      if (e.worthRetrying()) throw e;
      CremaOnSpark.say(e.getMessage());
      return false;
    }
  }

  /** Fetches a snapshot to an engine's folder; returns the state's name there. */
  String download(Resume snapshot, Engine engine) throws IOException {
    Path state = new Path(snapshot.state());
    File folder = engine.folder().toFile();
    storage().download(new Path(snapshot.model()), folder, Resume.beside(state).getName());
    return storage().download(state, folder, state.getName()).getName();
  }

  /** Where data may lie: what the user names, and what was shipped with the job. */
  private List<String> folders() {
    Set<String> folders = new LinkedHashSet<>(roots);
    folders.add(SparkFiles.getRootDirectory());
    folders.add(new File("").getAbsolutePath());
    return folders.stream().filter(f -> new File(f).isDirectory()).toList();
  }

  /**
   * The engine's file on this machine; null for the one in the adapter's jar.
   *
   * @param name an absolute path, a name under --files or --archives, or null for crema_executor
   */
  static File program(String name) throws IOException {
    String wanted = name == null ? "crema_executor" : name;
    List<File> places = new ArrayList<>(List.of(new File(wanted).getAbsoluteFile()));
    if (!new File(wanted).isAbsolute()) {
      places.add(new File(SparkFiles.get(wanted)));
      for (String key : List.of("spark.files", "spark.yarn.dist.files"))  // on a driver that is no executor, they stay where they were
        for (String file : SparkEnv.get().conf().get(key, "").split(","))
          if (new Path(file.isEmpty() ? "/" : file).getName().equals(wanted)) places.add(new File(new Path(file).toUri().getPath()));
    }
    for (File place : places)
      if (place.isFile()) return place;
    for (String archive : SparkEnv.get().conf().get("spark.yarn.dist.archives", "").split(",")) {  // YARN unpacks for containers alone
      URI uri = URI.create(archive);
      File packed = new File(String.valueOf(uri.getPath())), folder = new File(SparkFiles.getRootDirectory(), String.valueOf(uri.getFragment()));
      if (!packed.isFile() || !wanted.startsWith(uri.getFragment() + "/")) continue;
      if (packed.getName().matches(".*\\.(zip|jar)")) FileUtil.unZip(packed, folder);
      else FileUtil.unTar(packed, folder);
      return new File(folder.getParent(), wanted);
    }
    if (name == null && Engine.isCarried()) return null;
    throw new CremaException("the engine " + wanted + " is not on " + java.net.InetAddress.getLocalHost().getHostName()
        + ": ship it with --files or --archives, or give -engine an absolute path that is on every machine");
  }

  /** A folder on local disk that Spark was given for such things; tasks of one machine are spread over several. */
  static File scratch(int task) {
    Map<String, String> environment = System.getenv();
    String configured = SparkEnv.get().conf().get("spark.local.dir", System.getProperty("java.io.tmpdir"));
    for (String name : List.of("LOCAL_DIRS", "SPARK_EXECUTOR_DIRS", "SPARK_LOCAL_DIRS"))
      if (environment.containsKey(name)) {
        configured = environment.get(name).replace(File.pathSeparatorChar, ',');
        break;
      }
    String[] folders = configured.split(",");
    File folder = new File(folders[task % folders.length]);
    if (!folder.isDirectory() && !folder.mkdirs()) throw new CremaException(folder + ", one of Spark's local folders, cannot be made");
    return folder;
  }
}

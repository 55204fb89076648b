// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkFiles;

/** Asks an engine on the driver's machine what a job will need: nobody else reads prototxt. */
final class Planner {
  private final Options options;
  private final Storage storage;
  private final int size;

  Planner(Options options, Storage storage, int size) {
    this.options = options;
    this.storage = storage;
    this.size = size;
  }

  /**
   * @param roots folders that data layers may read; the solver's own is added to them
   * @param copies places that have been copied to this machine
   */
  Plan plan(Set<String> roots, List<String> copies) throws IOException {
    File temporary = new File(System.getProperty("java.io.tmpdir"));
    try (Engine engine = Engine.start(Work.program(options.text("engine")), temporary, null, 0, "the driver")) {
      File folder = engine.folder().toFile();  // which the engine removes when this process is killed
      String conf = options.required("conf", "the solver's prototxt");
      File solver = file(conf, folder);
      if (solver.getParentFile().equals(folder))  // from afar, and so is the net that it names
        for (Path beside : storage.files(storage.place(conf).getParent(), ".prototxt")) storage.download(beside, folder, beside.getName());
      roots.add(solver.getParent());
      Set<String> readable = new LinkedHashSet<>(roots);
      readable.addAll(List.of(engine.folder().toString(), SparkFiles.getRootDirectory()));
      Copies.link(copies, engine.folder());
      // YARN makes --files links in a container's folder, each into a folder of its own: the net that the solver names is one too.
      if (Files.isSymbolicLink(solver.toPath()))
        for (File link : solver.getParentFile().listFiles(f -> Files.isSymbolicLink(f.toPath()))) readable.add(link.toPath().toRealPath().getParent().toString());
      Order job = options.describe(new Order("job").value("mode", "PLAN").value("size", size)).text("solver", solver.getPath()).texts("data_root", readable);
      if (options.flag("net")) job.text("net", file(options.text("net"), folder).getPath());
      engine.send(job);
      JsonNode event = engine.await("plan");
      engine.finish();
      return Plan.of(event);
    }
  }

  /** A prototxt on this machine: where the name says, among the files shipped with the job, or a copy of a remote one. */
  private File file(String name, File folder) throws IOException {
    for (String local : new String[] {name, SparkFiles.get(name)})
      if (new File(local).isFile()) return new File(local).getAbsoluteFile();
    Path place = storage.place(name);
    if (!storage.exists(place)) throw new CremaException(name + ": no such file, here or under --files");
    return storage.download(place, folder, place.getName());
  }
}

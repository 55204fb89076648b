// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.spark.SparkFiles;
import org.apache.spark.api.java.JavaSparkContext;

/**
 * Files and databases that engines read themselves, and that lie where only Hadoop's file systems reach: Spark copies each once
 * to every executor, and removes it with the application.
 *
 * <p>The engine finds {@code hdfs://a/b} as the relative path that it also is, below its own folder.
 */
final class Copies {
  private Copies() {}

  /** Has Spark copy what the data layers name; returns the places. */
  static List<String> order(JavaSparkContext spark, Storage storage, Plan plan) throws IOException {
    TreeSet<String> wanted = new TreeSet<>();  // a folder comes before what it holds
    for (Plan.Source source : plan.sources()) {
      for (String file : remote(source.files())) {
        if (!storage.exists(storage.place(file))) throw new CremaException("layer '" + source.layer() + "' (" + source.phase() + "): there is no " + file);
        wanted.add(file);
      }
      for (String file : remote(source.perhaps()))
        if (storage.exists(storage.place(file))) wanted.add(file);
    }
    Map<String, String> places = new LinkedHashMap<>();  // by the name that Spark gives a copy: its last part
    for (String file : wanted) {
      if (places.values().stream().anyMatch(folder -> file.startsWith(folder + "/"))) continue;
      org.apache.hadoop.fs.Path place = storage.place(file);
      String other = places.putIfAbsent(place.getName(), file);
      if (other != null) throw new CremaException(other + " and " + file + " would be copied under one name: rename one of them");
      spark.addFile(place.toString(), true);
    }
    return new ArrayList<>(places.values());
  }

  private static List<String> remote(List<String> files) {
    return files.stream().filter(f -> f.matches("(?!file:)\\w+:/.*")).map(f -> f.replaceFirst("/+$", "")).toList();
  }

  /** Makes this process's copies known under their places, for an engine with this folder. */
  static void link(List<String> places, Path folder) throws IOException {
    for (String place : places) {
      Path link = folder.resolve(place);
      Files.createDirectories(link.getParent());
      Files.createSymbolicLink(link, new File(SparkFiles.get(link.getFileName().toString())).toPath());
    }
  }
}

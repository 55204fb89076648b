// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSError;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.UnsupportedFileSystemException;

/** Files on any of Hadoop's file systems. An upload is there whole or not at all: it gets its name last. */
final class Storage {
  private static final Pattern STATE = Pattern.compile("(.*)_iter_(\\d+)\\.solverstate");

  private final Configuration configuration;

  Storage(Configuration configuration) {
    this.configuration = configuration;
  }

  /** A snapshot: a state, and the model of the same name beside it. */
  record Snapshot(Path state, long iteration, long written) {
    Resume resume() {
      return new Resume(state.toString(), Resume.beside(state).toString());
    }
  }

  /** The same place with its scheme, authority and folder, so that it means the same to every process. */
  Path place(String uri) {
    try {
      Path path = new Path(uri);
      return path.getFileSystem(configuration).makeQualified(path);
    } catch (IOException | IllegalArgumentException e) {
      throw new CremaException(uri + ": not a place for files: " + e.getMessage(), e);
    }
  }

  boolean exists(Path path) throws IOException {
    return path.getFileSystem(configuration).exists(path);
  }

  void remove(Path file) throws IOException {
    file.getFileSystem(configuration).delete(file, false);
  }

  void makeFolder(Path folder) throws IOException {
    folder.getFileSystem(configuration).mkdirs(folder);
  }

  /** A copy of a file in a local folder, under {@code name}. */
  File download(Path from, File folder, String name) throws IOException {
    File to = new File(folder, name);
    FileSystem files = from.getFileSystem(configuration);
    if (!files.exists(from)) throw new CremaException(from + ": no such file");
    if (!FileUtil.copy(files, from, to, false, configuration)) throw new IOException(from + " cannot be copied to " + to);
    return to;
  }

  /** The files of a folder whose names end so. */
  List<Path> files(Path folder, String ending) throws IOException {
    List<Path> found = new ArrayList<>();
    for (FileStatus file : folder.getFileSystem(configuration).listStatus(folder))
      if (file.isFile() && file.getPath().getName().endsWith(ending)) found.add(file.getPath());
    return found;
  }

  /** Copies a local file. A file that was there is replaced. */
  void upload(File from, Path to) throws IOException {
    FileSystem files = to.getFileSystem(configuration);
    Path part = part(to);
    files.mkdirs(to.getParent());
    try {
      if (!FileUtil.copy(from, files, part, false, configuration)) throw new IOException("the file system says no more");
      rename(files, part, to);
    } catch (IOException | FSError e) {  // a full local disk is an Error to Hadoop
      throw new IOException(to + " cannot be written: " + e.getMessage(), e);
    }
  }

  /** Removes what tasks that were killed left of their uploads: of the model, and of snapshots whose names begin with {@code prefix}. */
  void removeParts(Path model, String prefix) throws IOException {
    FileSystem files = model.getFileSystem(configuration);
    Pattern parts = Pattern.compile("\\.(" + Pattern.quote(model.getName()) + "|" + Pattern.quote(prefix) + "_iter_\\d+\\.\\w+)\\.[-0-9a-f]+\\.part");
    for (FileStatus file : files.listStatus(model.getParent()))
      if (parts.matcher(file.getPath().getName()).matches()) files.delete(file.getPath(), false);
  }

  /** Copies a file from one place to another. */
  void copy(Path from, Path to) throws IOException {
    FileSystem files = to.getFileSystem(configuration);
    Path part = part(to);
    if (!FileUtil.copy(from.getFileSystem(configuration), from, files, part, false, configuration)) throw new IOException(from + " cannot be copied to " + part);
    rename(files, part, to);
  }

  /** An empty file, which is whole as soon as it is there. */
  void touch(Path file) throws IOException {
    file.getFileSystem(configuration).create(file, true).close();
  }

  /** Writes a small text file. */
  void write(String text, Path to) throws IOException {
    FileSystem files = to.getFileSystem(configuration);
    Path part = part(to);
    try (OutputStream out = files.create(part, true)) {
      out.write(text.getBytes(StandardCharsets.UTF_8));
    }
    rename(files, part, to);
  }

  /** Of this upload alone: a task that Spark has given up may still be writing another. Hadoop's readers pass over names with a dot. */
  private static Path part(Path to) {
    return new Path(to.getParent(), "." + to.getName() + "." + UUID.randomUUID() + ".part");
  }

  private void rename(FileSystem files, Path part, Path to) throws IOException {
    if (files.rename(part, to)) return;
    try {  // HDFS puts one file in the place of another only so, at once
      FileContext.getFileContext(files.getUri(), configuration).rename(part, to, org.apache.hadoop.fs.Options.Rename.OVERWRITE);
    } catch (UnsupportedFileSystemException e) {
      files.delete(to, false);
      if (!files.rename(part, to)) throw new IOException(part + " cannot be renamed to " + to.getName());
    }
  }

  /** The whole snapshots in a folder whose names begin with {@code prefix}, by iteration. */
  TreeMap<Long, Snapshot> snapshots(Path folder, String prefix) throws IOException {
    TreeMap<Long, Snapshot> found = new TreeMap<>();
    FileSystem files = folder.getFileSystem(configuration);
    if (!files.exists(folder)) return found;
    for (FileStatus file : files.listStatus(folder)) {
      Matcher name = STATE.matcher(file.getPath().getName());
      if (!name.matches() || !name.group(1).equals(prefix)) continue;
      Snapshot s = new Snapshot(file.getPath(), Long.parseLong(name.group(2)), file.getModificationTime());
      if (files.exists(Resume.beside(s.state))) found.put(s.iteration, s);
    }
    return found;
  }

  /** Removes a local folder and all in it, as far as possible. */
  static void wipe(java.nio.file.Path folder) {
    try (Stream<java.nio.file.Path> all = Files.walk(folder)) {
      all.sorted(Comparator.reverseOrder()).forEach(f -> f.toFile().delete());
    } catch (IOException | java.io.UncheckedIOException e) {
      // gone already
    }
  }
}

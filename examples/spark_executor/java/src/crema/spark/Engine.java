// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * One engine process, from its start to its end, as docs/spark_protocol.md has it.
 *
 * <pre>
 *   try (Engine engine = Engine.start(program, folder, null, 0, "localhost")) {
 *     engine.send(new Order("job").value("mode", "PLAN").text("solver", "/a/solver.prototxt"));
 *     JsonNode plan = engine.await("plan");
 *     engine.finish();
 *   }
 * </pre>
 *
 * Whatever happens, {@link #close} leaves neither the process nor its folder behind.
 */
final class Engine implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String CARRIED = "crema_executor";
  private static final int TAIL = 100;
  private static final long HELLO_SECONDS = 10, ROWS_SECONDS = 60, TURN_MS = 50, ALIVE_TURNS = 5;
  /** What an engine sees of the executor's environment. */
  private static final String ENVIRONMENT = "PATH|HOME|LANG|TMPDIR|LD_LIBRARY_PATH|CUDA_VISIBLE_DEVICES|(UCX|FI|MPIR|NCCL)_.*";
  private static final JsonNode END = JSON.createObjectNode();

  private final Process process;
  private final Path folder;
  private final int rank;
  private final String host;
  private final BlockingQueue<JsonNode> events = new LinkedBlockingQueue<>();
  private final Deque<String> tail = new ArrayDeque<>();
  private final List<Thread> readers = new ArrayList<>();
  private final List<SocketChannel> connections = new CopyOnWriteArrayList<>();
  private final Thread hook = new Thread(this::close, "crema end");  // an executor that loses its worker does not end its tasks
  private JsonNode hello;
  private volatile JsonNode fail;
  private volatile String killed;  // why this side ended the engine
  private volatile long writingSince;
  private volatile int quiet;  // turns of the watch since the engine said something

  private Engine(Process process, Path folder, int rank, String host) {
    this.process = process;
    this.folder = folder;
    this.rank = rank;
    this.host = host;
  }

  /**
   * Starts {@code program} in a new private folder under {@code parent} and waits until it says hello.
   *
   * @param program null for the engine that the adapter's jar carries
   * @param address where the engine listens for its peers; null if it will have none
   * @param rank for messages, with {@code host}
   */
  static Engine start(File program, File parent, String address, int rank, String host) throws IOException {
    Path folder = Files.createTempDirectory(parent.toPath().toAbsolutePath(), "crema-");  // mode 0700
    Engine engine;
    try {
      engine = new Engine(launch(program, folder, address), folder, rank, host);
    } catch (IOException e) {
      Storage.wipe(folder);
      throw new CremaException("the engine " + (program == null ? "in the jar" : program) + " cannot be started on " + host + ": " + e.getMessage(), e);
    }
    engine.readers.add(thread("crema events", engine::readEvents));
    engine.readers.add(thread("crema log", engine::readLog));
    try {
      Runtime.getRuntime().addShutdownHook(engine.hook);
      engine.hello = engine.next(HELLO_SECONDS);
      if (engine.hello == null && engine.events.peek() != END) engine.kill("it did not say hello within " + HELLO_SECONDS + " s");
      if (engine.hello == null || !name(engine.hello).equals("hello")) throw engine.failure();
      return engine;
    } catch (RuntimeException e) {
      engine.close();
      throw e;
    }
  }

  /** One at a time: no program can be started while the start of another process still holds it open for writing. */
  private static synchronized Process launch(File program, Path folder, String address) throws IOException {
    String path = (program == null ? unpack(folder) : program.toPath().toAbsolutePath()).toString();
    List<String> command = new ArrayList<>(List.of(path, "--dir=" + folder));
    if (address != null) command.add("--host=" + address);
    ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile());
    builder.environment().keySet().removeIf(name -> !name.matches(ENVIRONMENT));
    return builder.start();
  }

  static Thread thread(String name, Runnable run) {
    Thread thread = new Thread(run, name);
    thread.setDaemon(true);
    thread.start();
    return thread;
  }

  JsonNode hello() {
    return hello;
  }

  /** The engine's own folder, where relative paths of a job begin. */
  Path folder() {
    return folder;
  }

  /** The name of an event. */
  static String name(JsonNode event) {
    return event.path("event").asText();
  }

  void send(Order order) {
    try {
      tell(order.toString());
    } catch (IOException e) {
      throw failure();  // it is gone, and has said why
    }
  }

  private void tell(String line) throws IOException {
    process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
    process.getOutputStream().flush();
  }

  /** The next event, or null at the end of the engine. */
  JsonNode next() {
    return next(Long.MAX_VALUE);
  }

  private JsonNode next(long seconds) {
    try {
      JsonNode event = events.poll(seconds, TimeUnit.SECONDS);
      if (event == END) events.add(END);
      return event == END ? null : event;
    } catch (InterruptedException e) {
      end("the task was interrupted");
      Thread.currentThread().interrupt();
      throw failure();
    }
  }

  /** The next event with this name; those before it are passed over. */
  JsonNode await(String wanted) {
    for (JsonNode event; (event = next()) != null; )
      if (name(event).equals(wanted)) return event;
    throw failure();
  }

  /** A connection to the row socket, which is closed with the engine. */
  SocketChannel connect() {
    try {
      SocketChannel connection = SocketChannel.open(UnixDomainSocketAddress.of(hello.path("rows").asText()));
      connections.add(connection);
      return connection;
    } catch (IOException e) {
      throw failure();
    }
  }

  /** The way in of a connection; an engine that takes nothing for a minute is ended. */
  WritableByteChannel sink(SocketChannel connection) {
    return new WritableByteChannel() {
      @Override
      public int write(ByteBuffer bytes) throws IOException {
        writingSince = System.nanoTime();
        try {
          return connection.write(bytes);
        } finally {
          writingSince = 0;
        }
      }

      @Override
      public boolean isOpen() {
        return connection.isOpen();
      }

      @Override
      public void close() throws IOException {
        connection.close();
      }
    };
  }

  /**
   * A thread that ends the engine when {@code cancelled}, or when it hangs; it also frees a thread that waits for the engine. And it
   * lets the engine know that this process lives.
   *
   * @param silence seconds; counted in turns, so that a host that was stopped itself does not blame the engine
   */
  void watch(BooleanSupplier cancelled, double silence) {
    quiet = 0;
    thread("crema watch", () -> {
      for (long turn = 0; process.isAlive(); ++turn) {
        long since = writingSince;
        if (cancelled.getAsBoolean()) end("Spark ended the task");
        if (since != 0 && System.nanoTime() - since > TimeUnit.SECONDS.toNanos(ROWS_SECONDS)) kill("it took no rows for " + ROWS_SECONDS + " s");
        if (++quiet * TURN_MS > silence * 1000) kill("it said nothing for " + Math.round(silence) + " s");
        try {
          if (turn % ALIVE_TURNS == 0) tell("alive");
          Thread.sleep(TURN_MS);
        } catch (IOException e) {
          // it is going
        } catch (InterruptedException e) {
          return;
        }
      }
    });
  }

  void kill(String why) {
    if (killed == null) killed = why;
    process.destroyForcibly();
  }

  boolean runs() {
    return process.isAlive();
  }

  /** Whether the engine has ended badly, and an event of this name was among its last ones that {@link #next} has not given yet. */
  boolean failedAfter(String name) {
    return !runs() && process.exitValue() != 0 && events.stream().anyMatch(event -> name(event).equals(name));
  }

  /** The end of its input tells an engine to wipe its folder and go, which it does even if this process ends meanwhile. */
  private void end(String why) {
    if (killed == null) killed = why;
    try {
      process.getOutputStream().close();
      process.waitFor(3, TimeUnit.SECONDS);
    } catch (IOException e) {
      // it is gone
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.destroyForcibly();
  }

  /** Waits for the end; throws {@link EngineFailure} unless it is a good one. Returns the event {@code done}. */
  JsonNode finish() {
    JsonNode done = null;
    for (JsonNode event; (event = next()) != null; )
      if (name(event).equals("done")) done = event;
    return finish(done);
  }

  JsonNode finish(JsonNode done) {
    if (exitCode() != 0 || done == null) throw failure();
    return done;
  }

  /** Why the engine ended: its own words where it had any. Waits for the end, and brings it about if need be. */
  EngineFailure failure() {
    int code = exitCode();
    JsonNode said = fail;
    String how = killed != null ? "the engine was ended: " + killed
        : code == 127 ? "the engine did not start: a shared library is missing"
        : code > 128 ? "the engine was ended by signal " + (code - 128)
        : code == 0 ? "the engine ended before its work was done"
        : "the engine ended with code " + code;
    String why = said == null ? how : said.path("why").asText() + " (" + (code > 128 ? how : "exit code " + code) + ")";
    String kind = said == null ? (code == 2 ? "usage" : "lost") : said.path("kind").asText();
    boolean witness = code == 3 || code == 4 || (said != null && said.path("witness").asBoolean());
    synchronized (tail) {
      return new EngineFailure(rank, host, kind, witness, why, List.copyOf(tail));
    }
  }

  private int exitCode() {
    try {
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        kill("it did not end within 10 s");
        process.waitFor();
      }
      for (Thread reader : readers) reader.join(2000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      end("the task was interrupted");
    }
    return process.isAlive() ? 137 : process.exitValue();
  }

  private void readEvents() {
    try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line; (line = lines.readLine()) != null; ) {
        quiet = 0;
        JsonNode event = parse(line);
        switch (name(event)) {
          case "log" -> log(event.path("text").asText());
          case "fail" -> fail = event;
          case "alive" -> { }
          default -> events.add(event);
        }
      }
    } catch (IOException e) {
      log("its events broke off: " + e.getMessage());
    } finally {
      events.add(END);
    }
  }

  private JsonNode parse(String line) {
    try {
      return JSON.readTree(line);
    } catch (JsonProcessingException e) {
      log("not an event: " + line);
      return JSON.createObjectNode();
    }
  }

  private void readLog() {
    try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
      for (String line; (line = lines.readLine()) != null; ) log(line);
    } catch (IOException e) {
      // the process is gone
    }
  }

  private void log(String line) {
    System.err.println("crema[" + rank + "] " + line);
    synchronized (tail) {
      if (tail.size() == TAIL) tail.removeFirst();
      tail.addLast(line);
    }
  }

  /** Ends the process if it still runs, and removes what it had on disk. */
  @Override
  public void close() {
    end("the task is over");
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // it is running
    }
    try {
      process.waitFor(5, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    for (SocketChannel connection : connections) {
      try {
        connection.close();
      } catch (IOException e) {
        // it is gone anyway
      }
    }
    Storage.wipe(folder);
    if (hello != null) {
      // An engine that was killed could not remove its socket's folder.
      Path sockets = Path.of(hello.path("rows").asText()).getParent();
      if (sockets != null && sockets.getFileName().toString().startsWith("crema-")) Storage.wipe(sockets);
    }
  }

  /** Whether the adapter's jar carries an engine. */
  static boolean isCarried() {
    return Engine.class.getResource(CARRIED) != null;
  }

  /** Copies that engine to a folder, with which it goes. */
  private static Path unpack(Path folder) throws IOException {
    Path program = folder.resolve(CARRIED);
    try (InputStream in = Engine.class.getResourceAsStream(CARRIED)) {
      Files.copy(in, program);
    }
    if (!program.toFile().setExecutable(true)) throw new IOException(program + " cannot be made executable");
    return program;
  }
}

// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.hadoop.fs.Path;

/**
 * The wish that a training ends early, with a snapshot: a file beside its model, {@code lenet.caffemodel.stop}. Whoever can
 * write there can wish, on whatever machine; Spark has no way of its own from the driver to a task that runs.
 */
record Stop(Storage storage, Path file) {
  static Stop of(Storage storage, Path model) {
    return new Stop(storage, model.suffix(".stop"));
  }

  void wish() {
    try {
      storage.touch(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One that was for a training before, or has been fulfilled. */
  void forget() throws IOException {
    storage.remove(file);
  }

  /** Looks every second, and tells the engine. */
  void watch(Engine engine) {
    Engine.thread("crema stop", () -> {
      try {
        while (engine.runs() && !wished()) Thread.sleep(1000);
        if (engine.runs()) engine.send(new Order("stop"));
      } catch (InterruptedException | EngineFailure e) {
        // it has ended
      }
    });
  }

  private boolean wished() {
    try {
      return storage.exists(file);
    } catch (IOException e) {
      return false;  // the next look may go better
    }
  }
}

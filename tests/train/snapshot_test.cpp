// SPDX-License-Identifier: Apache-2.0
#include "crema/train/snapshot.hpp"

#include <signal.h>
#include <sys/resource.h>

#include "catch.hpp"
#include "tiny.hpp"

using namespace crema_test;

namespace {
/// A trained job and its snapshot after 12 iterations.
struct Taken {
  TemporaryFolder folder;
  Tiny tiny;
  SolverSpec spec = [this] {
    SolverSpec s = tiny_solver(12);
    s.snapshot_prefix = folder.path + "/t";
    return s;
  }();
  Trainer<float, Cpu> trainer{tiny.cpu, spec, tiny.net, tiny.source, {.seed = 1, .isa = "some"}};
  SnapshotPaths paths;
  Taken() {
    trainer.run();
    paths = trainer.snapshot();
  }
};
std::string refusal(const std::string& path) {
  try {
    read_snapshot(path);
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}
}  // namespace

TEST_CASE("a snapshot says where the job stood", "[train]") {
  Taken t;
  CHECK(t.paths.state == t.folder.path + "/t_iter_12.solverstate");
  const SnapshotFile s = read_snapshot(t.paths.state);
  CHECK(s.info.iteration == 12);
  CHECK(s.info.seed == 1);
  CHECK(s.info.cursor == 96);
  CHECK(s.info.global_batch == 8);
  CHECK(s.info.isa == "some");
  CHECK(s.info.verified);
  CHECK(s.state.history.size() == 4);
  const NetSpec model = parse_wire<NetSpec>(s.model);
  CHECK(model.layers.size() == t.tiny.net.spec().layers.size());
}

TEST_CASE("a snapshot that was moved is found with its model", "[train]") {
  Taken t;
  const TemporaryFolder other;
  std::filesystem::rename(t.paths.state, other.path + "/s.solverstate");
  CHECK(read_snapshot(other.path + "/s.solverstate").model_path == t.paths.model);
  std::filesystem::rename(t.paths.model, other.path + "/t_iter_12.caffemodel");
  CHECK(read_snapshot(other.path + "/s.solverstate").model_path == other.path + "/t_iter_12.caffemodel");
  std::filesystem::remove(other.path + "/t_iter_12.caffemodel");
  CHECK(refusal(other.path + "/s.solverstate").find("t_iter_12.caffemodel is not beside it") !=
        std::string::npos);
}

TEST_CASE("every changed byte and every cut of a snapshot is noticed", "[train]") {
  Taken t;
  for (const std::string& path : {t.paths.state, t.paths.model}) {
    const std::string bytes = read_file(path);
    for (std::size_t i = 0; i < bytes.size(); i += 1 + bytes.size() / 97) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
      write_file(path, damaged);
      INFO(path << " byte " << i);
      CHECK(!refusal(t.paths.state).empty());
      write_file(path, bytes.substr(0, i));
      CHECK(!refusal(t.paths.state).empty());
    }
    write_file(path, bytes);
  }
  CHECK(refusal(t.paths.state).empty());
}

TEST_CASE("the newest snapshot that verifies is taken, and the others named", "[train]") {
  Taken t;
  const std::string prefix = t.folder.path + "/t";
  for (const int n : {100, 20, 9}) {  // 100 is newest in number, not in spelling
    std::filesystem::copy(t.paths.state, cat(prefix, "_iter_", n, ".solverstate"));
  }
  std::string damaged = read_file(prefix + "_iter_100.solverstate");
  damaged.resize(damaged.size() / 2);
  write_file(prefix + "_iter_100.solverstate", damaged);
  write_file(prefix + "_iter_x.solverstate", "noise");
  const NewestSnapshot newest = newest_snapshot(prefix);
  CHECK(newest.state == prefix + "_iter_20.solverstate");
  REQUIRE(newest.rejected.size() == 1);
  CHECK(newest.rejected[0].find("_iter_100") != std::string::npos);
  CHECK(newest_snapshot(t.folder.path + "/none").state.empty());
}

TEST_CASE("a state from Caffe, without checksums, is taken as it is", "[train]") {
  Taken t;
  SolverStateSpec s = read_snapshot(t.paths.state).state;
  s.other = {};
  write_file(t.paths.state, write_wire(s));
  const SnapshotFile file = read_snapshot(t.paths.state);
  CHECK(!file.info.verified);
  CHECK(file.info.iteration == 12);
  Tiny fresh(5);
  Trainer<float, Cpu> trainer(fresh.cpu, t.spec, fresh.net, fresh.source, {.seed = 5});
  trainer.resume(t.paths.state);
  CHECK(fresh.weights() == t.tiny.weights());
}

TEST_CASE("what does not fit changes nothing", "[train]") {
  Taken t;
  const auto refused = [&](Trainer<float, Cpu>& trainer) {
    try {
      trainer.resume(t.paths.state);
      return std::string();
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  {
    Tiny other(2);
    const std::vector<float> before = other.weights();
    Trainer<float, Cpu> seed(other.cpu, t.spec, other.net, other.source, {.seed = 2});
    CHECK(refused(seed).find("was made with seed 1, not 2") != std::string::npos);
    CHECK(other.weights() == before);
  }
  Tiny batch(1, 4);
  Trainer<float, Cpu> cut(batch.cpu, t.spec, batch.net, batch.source, {.seed = 1});
  CHECK(refused(cut).find("8 samples per iteration") != std::string::npos);
  NetSpec wider = parse_net(tiny_net(8));
  write_options(wider.layers[1], ConvolutionOptions{.num_output = 5, .kernel_size = {3}});
  Net<float, Cpu> net(batch.cpu, wider, all_layers<float, Cpu>(), {.seed = 1});
  const std::vector<float> before(net.parameters()->values().begin(), net.parameters()->values().end());
  Tiny source;
  Trainer<float, Cpu> shape(batch.cpu, t.spec, net, source.source, {.seed = 1});
  const std::string said = refused(shape);
  CHECK(said.find("layer 'conv'") != std::string::npos);
  CHECK(std::equal(before.begin(), before.end(), net.parameters()->values().begin()));
}

TEST_CASE("a full disk leaves the older snapshots and nothing half-written", "[train]") {
  Taken t;
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{600, before.rlim_max};
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  t.trainer.step();
  setrlimit(RLIMIT_FSIZE, &small);
  std::string said;
  try {
    t.trainer.snapshot();
  } catch (const DataError& e) {
    said = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old_handler);
  CHECK(said.find("t_iter_13.caffemodel") != std::string::npos);
  CHECK(names_in_folder(t.folder.path).size() == 2);
  CHECK(newest_snapshot(t.folder.path + "/t").state == t.paths.state);
}

TEST_CASE("weights that are no numbers are not saved", "[train]") {
  Taken t;
  t.tiny.net.parameters()->edit()[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(t.trainer.snapshot(), DataError);
}

TEST_CASE("what a killed process left is removed", "[train]") {
  const TemporaryFolder folder;
  folder.write("t_iter_5.caffemodel.partial", "x");
  folder.write("u_iter_5.caffemodel.partial", "another job's");
  prepare_snapshots(folder.path + "/t");
  CHECK(names_in_folder(folder.path) == std::vector<std::string>{"u_iter_5.caffemodel.partial"});
  CHECK_THROWS_AS(prepare_snapshots(folder.path + "/no/t"), DataError);
}

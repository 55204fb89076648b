// SPDX-License-Identifier: Apache-2.0
// What all strategies check: that the ranks are alike when they begin, and that their weights are at every snapshot.
#include <filesystem>

#include "catch.hpp"
#include "tiny_ranks.hpp"
#include "watching.hpp"

using namespace crema_test;

namespace {

/// What each rank of two says to a job that is another on rank 1.
template <class Change>
std::vector<std::string> run_unlike(RankedJob job, const Change& change) {
  std::vector<std::string> said(2);
  Seen<float> seen;
  std::mutex mutex;
  ThreadWorld world(2);
  const auto on_rank = [&](Communicator& comm) {
    RankedJob own = job;
    if (comm.rank() == 1) change(own);
    try {
      run_rank<float>(own, &comm, seen, mutex);
    } catch (const Error& e) {
      said[static_cast<std::size_t>(comm.rank())] = e.what();
    }
  };
  world.run(on_rank);
  return said;
}

/// The tiny net with one piece of its text replaced.
std::string tiny_with(const std::string& old, const std::string& other) {
  std::string net = tiny_net(0);
  for (const auto& [from, to] : {std::pair<std::string, std::string>{old, other}, {"dim: 0", "dim: BATCH"}})
    for (std::size_t at = 0; (at = net.find(from, at)) != std::string::npos; at += to.size())
      net.replace(at, from.size(), to);
  return net;
}

/// The tiny data without its last sample.
std::shared_ptr<const Dataset> one_less() {
  const std::string p = tiny_pixels(), l = tiny_labels();
  return std::make_shared<MemoryDataset>(Shape{1, 6, 6}, std::vector<std::uint8_t>(p.begin(), p.end() - 36),
                                         std::vector<float>(l.begin(), l.end() - 1));
}

/// The upper one of the fraction: addition does not round it away.
void flip_a_bit(float* w) { reinterpret_cast<std::uint8_t*>(w)[2] ^= 0x40; }

}  // namespace

TEST_CASE("ranks that are not alike are refused, and told in what", "[parallel]") {
  using Change = void (*)(RankedJob&);
  const std::tuple<const char*, Change, const char*> table[] = {
      {"base_lr", [](RankedJob& j) { j.solver.base_lr = 0.06f; }, "solver"},
      {"stepvalue",
       [](RankedJob& j) {
         j.solver.stepvalue = {10, 30};
       },
       "solver"},
      {"test_interval", [](RankedJob& j) { j.solver.test_interval = 7; }, "solver"},
      {"delta", [](RankedJob& j) { j.solver.delta = 1e-6f; }, "solver"},
      {"momentum2", [](RankedJob& j) { j.solver.momentum2 = 0.9f; }, "solver"},
      {"display", [](RankedJob& j) { j.solver.display = 10; }, "solver"},
      {"iter_size", [](RankedJob& j) { j.solver.iter_size = 2; }, "batch_size or iter_size"},
      {"batch", [](RankedJob& j) { j.global_batch = 32; }, "batch_size or iter_size"},
      {"seed", [](RankedJob& j) { j.seed = 2; }, "seed"},
      {"dropout", [](RankedJob& j) { j.net = tiny_with("dropout_ratio: 0.3", "dropout_ratio: 0.4"); }, "net"},
      {"pooling",
       [](RankedJob& j) {
         j.net = tiny_with("kernel_size: 2 stride: 2", "pool: AVE kernel_size: 2 stride: 2");
       },
       "net"},
      {"size", [](RankedJob& j) { j.net = tiny_with("num_output: 4", "num_output: 5"); }, "net"},
      {"data", [](RankedJob& j) { j.data = one_less(); }, "data set"},
      {"scale", [](RankedJob& j) { j.scale = 0.5; }, "data set"},
      {"shards", [](RankedJob& j) { j.shards = 8; }, "data set"},
      {"strategy", [](RankedJob& j) { j.strategy.name = "easgd"; }, "strategy"},
      {"tau", [](RankedJob& j) { j.strategy.tau = 9; }, "strategy"},
  };
  for (const auto& [name, change, what] : table) {
    INFO(name);
    RankedJob job{.ranks = 2, .net = tiny_with("dim: 0", "dim: BATCH")};
    job.strategy.name = "local_sgd";
    for (const std::string& said : run_unlike(job, *change))
      CHECK_THAT(said, Catch::Contains(cat("rank 1 has another ", what)));
  }
  const auto other_paths = [](RankedJob& j) {
    j.solver.snapshot_prefix = "elsewhere", j.solver.net = "elsewhere/net.prototxt", j.solver.device_id = 1;
  };
  CHECK(run_unlike({.ranks = 2, .solver = tiny_solver(3)}, other_paths) == std::vector<std::string>(2));
}

TEST_CASE("a rank whose weights have other bits than rank 0's is found at the next snapshot", "[parallel]") {
  // What all hold is weights (synchronous), their mean (local SGD), or the centre that the last meeting moved (EASGD).
  const std::tuple<const char*, int> table[] = {{"synchronous", 5}, {"local_sgd", 5}, {"easgd", 4}};
  for (const auto& [strategy, armed_after] : table) {
    INFO(strategy);
    const TemporaryFolder folder;
    RankedJob job{.ranks = 3, .shards = 3, .global_batch = 12, .solver = tiny_solver(20)};
    job.strategy.name = strategy, job.strategy.tau = 1;
    job.solver.snapshot_prefix = folder.path + "/job", job.solver.snapshot = 5;
    std::vector<std::string> said(3);
    Seen<float> seen;
    std::mutex mutex;
    ThreadWorld world(3);
    world.run([&, at = armed_after](Communicator& comm) {
      Watching watching(comm);
      int steps = 0;
      bool armed = false;
      watching.on_end = [&](const Operation& op) {
        const bool weights = op.type == ElementType::float32 &&
                             (op.kind == Operation::all_reduce || op.kind == Operation::all_gather);
        if (weights && std::exchange(armed, false)) flip_a_bit(static_cast<float*>(op.data));
      };
      try {
        run_rank<float>(job, &watching, seen, mutex, [&] {
          armed = ++steps == at && comm.rank() == 1;
          return Action::none;
        });
      } catch (const Error& e) {
        said[static_cast<std::size_t>(comm.rank())] = e.what();
      }
    });
    for (const std::string& s : said)
      CHECK_THAT(s, Catch::Contains("iteration 5: rank 1's weights are not rank 0's"));
    CHECK(std::filesystem::is_empty(folder.path));
  }
}

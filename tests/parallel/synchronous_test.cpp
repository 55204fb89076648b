// SPDX-License-Identifier: Apache-2.0
// Synchronous SGD against one rank with the whole batch.
#include "../comm/worlds.hpp"
#include "catch.hpp"
#include "crema/comm/hierarchy.hpp"
#include "tiny_ranks.hpp"
#include "watching.hpp"

using namespace crema_test;

namespace {

/// Samples of class 2 do not count: shares weigh differently.
const std::string ignoring = [] {
  std::string net = tiny_net(0);
  net.replace(net.find("dim: 0"), 6, "dim: BATCH"), net.replace(net.find("dim: 0"), 6, "dim: BATCH");
  const std::string loss = R"(type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss")";
  net.replace(net.find(loss), loss.size(), loss + " loss_param { ignore_label: 2 }");
  return net;
}();

SolverSpec steady(int iterations) {
  SolverSpec s = tiny_solver(iterations);
  s.stepsize = 200;
  return s;
}

}  // namespace

TEST_CASE("N ranks take the steps of one rank with the N-fold batch", "[parallel]") {
  RankedJob job{.solver = steady(200)};
  const Seen<double> one = run_alone<double>(job);
  CHECK(one.losses.back() < one.losses.front() / 2);
  for (const int ranks : {1, 2, 4}) {
    INFO(ranks << " ranks");
    job.ranks = ranks;
    const Seen<double> many = run_ranks<double>(job);
    REQUIRE(many.losses.size() == 200);
    CHECK(largest_difference(many.losses, one.losses) < 1e-10);
    for (const auto& w : many.weights) CHECK(w == many.weights[0]);
    CHECK(largest_difference(many.weights[0], one.weights[0]) < 1e-10);
    if (ranks == 1) CHECK(many.weights[0] == one.weights[0]);
  }
}

TEST_CASE("ranks whose samples weigh differently are exact too", "[parallel]") {
  RankedJob job{.solver = steady(60), .net = ignoring};
  const Seen<double> one = run_alone<double>(job);
  for (const int ranks : {2, 4}) {
    job.ranks = ranks;
    CHECK(largest_difference(run_ranks<double>(job).losses, one.losses) < 1e-10);
  }
}

TEST_CASE("a rank whose batches are short weighs as many samples as it has", "[parallel]") {
  RankedJob job{.ranks = 2, .shards = 2, .solver = steady(60), .missing = [](int n) { return 3 * n % 8; }};
  const Seen<double> one = run_alone<double>(job), two = run_ranks<double>(job);
  CHECK(largest_difference(two.losses, one.losses) < 1e-10);
  CHECK(largest_difference(two.weights[0], one.weights[0]) < 1e-10);
  job.missing = {};
  CHECK(largest_difference(run_ranks<double>(job).losses, one.losses) > 1e-6);
}

TEST_CASE("iter_size and clipping are those of the whole batch", "[parallel]") {
  RankedJob job{.solver = steady(40)};
  job.solver.iter_size = 3, job.solver.clip_gradients = 0.5f;
  const Seen<double> one = run_alone<double>(job);
  for (const int ranks : {2, 4}) {
    job.ranks = ranks;
    CHECK(largest_difference(run_ranks<double>(job).losses, one.losses) < 1e-10);
  }
}

TEST_CASE("float agrees to rounding, and runs repeat to the bit", "[parallel]") {
  RankedJob job{.solver = steady(200)};
  const Seen<float> one = run_alone<float>(job);
  for (const int ranks : {2, 4}) {
    job.ranks = ranks;
    const Seen<float> many = run_ranks<float>(job);
    CHECK(largest_difference(many.losses, one.losses) < 1e-4);
    CHECK(many.weights == run_ranks<float>(job).weights);
  }
}

TEST_CASE("the same ranks over tcp take the same steps to the bit", "[parallel]") {
  RankedJob job{.ranks = 2, .solver = steady(50)};
  const Seen<double> threads = run_ranks<double>(job);
  Seen<double> seen;
  std::mutex mutex;
  const auto errors =
      in_world(2, [&](World& world) { run_rank<double>(job, &world.communicator(), seen, mutex); });
  CHECK(errors == std::vector<std::string>(2));
  CHECK(seen.losses == threads.losses);
  CHECK(seen.weights == threads.weights);
}

TEST_CASE("threads of two processes take the steps of one rank with the whole batch", "[parallel]") {
  RankedJob job{.solver = steady(200)};
  const Seen<double> one = run_alone<double>(job);
  Seen<double> seen;
  std::mutex mutex;
  const auto errors = in_world(2, [&](World& world) {
    HierarchicalWorld ranks(world.communicator(), 2);
    ranks.run([&](Communicator& comm) { run_rank<double>(job, &comm, seen, mutex); });
  });
  CHECK(errors == std::vector<std::string>(2));
  CHECK(largest_difference(seen.losses, one.losses) < 1e-10);
  REQUIRE(seen.weights.size() == 4);
  for (const auto& w : seen.weights) CHECK(w == seen.weights[0]);
  CHECK(largest_difference(seen.weights[0], one.weights[0]) < 1e-10);
}

TEST_CASE("gradients are on their way before backward has the last of them", "[parallel]") {
  ThreadWorld world(2);
  std::vector<std::vector<int>> started(2);
  world.run([&](Communicator& comm) {
    Watching watching(comm);
    int count = 0;
    watching.on_start = [&](const Operation& op) { count += op.kind == Operation::reduce_scatter; };
    watching.on_progress = [&] { started[static_cast<std::size_t>(comm.rank())].push_back(count); };
    Tiny tiny;
    const auto solver = make_solver<float, Cpu>(tiny.cpu, tiny_solver(10), *tiny.net.parameters());
    Replica<float, Cpu> replica{tiny.cpu, tiny.net, *solver, tiny.source};
    Synchronous<float, Cpu> strategy(watching, {.bucket_bytes = 1});
    strategy.begin(replica);
    strategy.run_step(replica);
    strategy.end(replica);
  });
  // At each of backward's pieces: the last layer's weights and bias (whose bucket is the first), then the first layer's.
  for (const auto& seen : started) CHECK(seen == std::vector<int>{0, 2, 2, 4});
}

TEST_CASE("forward goes on while weights arrive; who reads them waits", "[parallel]") {
  ThreadWorld world(2);
  std::vector<std::vector<float>> weights(2);
  std::vector<std::vector<std::size_t>> arriving(2);
  world.run([&](Communicator& comm) {
    const auto r = static_cast<std::size_t>(comm.rank());
    Watching watching(comm);
    const auto look = [&] { arriving[r].push_back(watching.arriving()); };
    Tiny tiny;
    const auto solver = make_solver<float, Cpu>(tiny.cpu, tiny_solver(10), *tiny.net.parameters());
    Replica<float, Cpu> replica{tiny.cpu, tiny.net, *solver, tiny.source};
    {
      Synchronous<float, Cpu> strategy(watching, {.bucket_bytes = 1});  // a bucket for each of 2 x 2 segments
      strategy.begin(replica);
      strategy.run_step(replica), ++replica.iteration, look();
      const Step step{Phase::train, 1, 1, 0, 0, nullptr};
      tiny.net.forward(step, 0, 1), look();  // the input
      tiny.net.forward(step, 1, 2), look();  // the convolution
      const auto w = tiny.net.parameters()->values();
      look();
      weights[r].assign(w.begin(), w.end());
      strategy.run_step(replica), ++replica.iteration, look();
      tiny.test_net.forward({Phase::test, 1, 2, 0, 0, nullptr}), look();  // shares the weights
      strategy.run_step(replica), ++replica.iteration, look();
      strategy.end(replica), look();
    }
    tiny.net.parameters()->values();  // nobody waits for a strategy that is gone
  });
  for (const auto& seen : arriving) CHECK(seen == std::vector<std::size_t>{4, 4, 2, 0, 4, 0, 4, 0});
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("data that ends leaves the weights of the last whole step", "[parallel]") {
  ThreadWorld world(2);
  std::vector<std::string> said(2);
  std::vector<std::size_t> before(2), after(2);
  world.run([&](Communicator& comm) {
    const auto r = static_cast<std::size_t>(comm.rank());
    Tiny tiny;
    const auto solver = make_solver<float, Cpu>(tiny.cpu, tiny_solver(10), *tiny.net.parameters());
    DatasetSource<float> ends(tiny_data(), {.scale = Tiny::scale}, {.batch = 45, .wrap = false}, "data",
                              "label");
    Watching watching(comm);
    Synchronous<float, Cpu> strategy(watching);
    Replica<float, Cpu> replica{tiny.cpu, tiny.net, *solver, ends};
    strategy.begin(replica);
    for (int i = 0; i < 2; ++i) strategy.run_step(replica), ++replica.iteration;
    before[r] = watching.arriving();
    try {
      strategy.run_step(replica);
    } catch (const DataError& e) {
      said[r] = e.what();
    }
    after[r] = watching.arriving();
  });
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(said[r].find("the source of batches has ended") != std::string::npos);
    CHECK(before[r] > 0);
    CHECK(after[r] == 0);
  }
}

TEST_CASE("tests over ranks count every sample once", "[parallel]") {
  RankedJob job{.solver = steady(20)};
  job.solver.test_interval = 10;
  const Seen<double> one = run_alone<double>(job);
  REQUIRE(one.tests.size() == 6);  // at 0, 10 and 20: accuracy and loss
  for (const int ranks : {2, 3}) {
    job.ranks = ranks, job.shards = 6, job.global_batch = 12;
    CHECK(largest_difference(run_ranks<double>(job).tests, run_alone<double>(job).tests) < 1e-10);
  }
}

TEST_CASE("what bfloat16 rounds away is sent later: sums are off by one rounding, however many",
          "[parallel]") {
  Tiny tiny;
  SolverSpec still = tiny_solver(10);
  still.base_lr = 0;
  const auto solver = make_solver<float, Cpu>(tiny.cpu, still, *tiny.net.parameters());
  Replica<float, Cpu> replica{tiny.cpu, tiny.net, *solver, tiny.source};
  const auto same_step = [&](Strategy<float, Cpu>& s) { tiny.source.seek(0), s.run_step(replica); };
  SingleRank<float, Cpu> exact;
  same_step(exact);
  const std::vector<float> g(tiny.net.gradients().begin(), tiny.net.gradients().end());

  SelfCommunicator self;
  Watching watching(self);
  std::vector<double> sent(g.size(), 0);
  std::size_t end = g.size();  // buckets go from the end of the buffer to its beginning
  watching.on_start = [&](const Operation& op) {
    if (op.type != ElementType::bfloat16) return;
    end -= op.count;
    for (std::size_t i = 0; i < op.count; ++i)
      sent[end + i] += static_cast<float>(static_cast<const BFloat16*>(op.data)[i]);
  };
  Synchronous<float, Cpu> strategy(watching, {.bucket_bytes = 1, .bfloat16 = true});
  strategy.begin(replica);
  double worst_of_one = 0;
  for (int k = 1; k <= 64; ++k) {
    end = g.size();
    same_step(strategy);
    REQUIRE(end == 0);
    double worst = 0;
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i] != 0) worst = std::max(worst, std::abs(sent[i] - k * double{g[i]}) / std::abs(double{g[i]}));
    if (k == 1) worst_of_one = worst;
    CHECK(worst < 1.0 / 256);
  }
  CHECK(worst_of_one > 1.0 / 1024);  // there was something to round away
}

TEST_CASE("bfloat16 gradients with error feedback train as well", "[parallel]") {
  RankedJob job{.ranks = 2, .solver = steady(200)};
  job.strategy.bfloat16 = true;
  const Seen<float> half = run_ranks<float>(job);
  job.strategy.bfloat16 = false;
  const Seen<float> full = run_ranks<float>(job);
  CHECK(half.weights[0] == half.weights[1]);
  CHECK(half.losses != full.losses);
  double a = 0, b = 0;
  for (std::size_t i = 150; i < 200; ++i) a += half.losses[i] / 50, b += full.losses[i] / 50;
  CHECK(a == Approx(b).margin(0.02));
  job.strategy.bfloat16 = true;
  CHECK_THROWS_AS(run_ranks<double>(job), SpecError);
}

TEST_CASE("a snapshot resumes with the same bits, and with another number of ranks", "[parallel]") {
  const TemporaryFolder folder;
  RankedJob job{.ranks = 2, .solver = steady(40)};
  const Seen<double> straight = run_ranks<double>(job);
  job.solver.snapshot_prefix = folder.path + "/job", job.solver.snapshot = 25;
  const Seen<double> saving = run_ranks<double>(job);
  CHECK(saving.weights == straight.weights);
  job.solver.snapshot = 0;
  job.resume = folder.path + "/job_iter_25.solverstate";
  CHECK(run_ranks<double>(job).weights[0] == straight.weights[0]);
  job.ranks = 4;
  CHECK(largest_difference(run_ranks<double>(job).weights[0], straight.weights[0]) < 1e-10);
  CHECK(largest_difference(run_alone<double>(job).weights[0], straight.weights[0]) < 1e-10);
  job.shards = 8;
  CHECK_THROWS_AS(run_ranks<double>(job), SpecError);
}

TEST_CASE("a rank that cannot go on ends the job on all ranks", "[parallel]") {
  RankedJob job{.ranks = 3, .shards = 3, .global_batch = 12, .solver = steady(1000)};
  Seen<float> seen;
  std::mutex mutex;
  ThreadWorld world(3);
  std::vector<std::string> said(3);
  CHECK_THROWS_AS(world.run([&](Communicator& comm) {
    int steps = 0;
    try {
      run_rank<float>(job, &comm, seen, mutex, [&] {
        if (comm.rank() == 1 && ++steps == 7) throw DataError("no more disk");
        return Action::none;
      });
    } catch (const std::exception& e) {
      said[static_cast<std::size_t>(comm.rank())] = e.what();
      throw;
    }
  }),
                  DataError);
  CHECK(said[1] == "no more disk");
  for (const int r : {0, 2}) {
    INFO(said[static_cast<std::size_t>(r)]);
    CHECK(said[static_cast<std::size_t>(r)].find("rank 1") != std::string::npos);
    CHECK(said[static_cast<std::size_t>(r)].find("no more disk") != std::string::npos);
  }
}

// SPDX-License-Identifier: Apache-2.0
// Local SGD, elastic averaging, parameter servers: where they must equal something simpler, and that they learn.
#include <time.h>

#include "catch.hpp"
#include "tiny_ranks.hpp"
#include "watching.hpp"

using namespace crema_test;

namespace {

SolverSpec plain(int iterations) {  // no momentum, no decay
  SolverSpec s = tiny_solver(iterations);
  s.momentum = 0, s.weight_decay = 0, s.stepsize = 1000;
  return s;
}

/// Two weights and one sample, x = 1 of class 0: the loss is log(1 + exp(w_1 - w_0)).
NetSpec two_weights() {
  return parse_net(
      R"(layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: [1, 1] } shape { dim: 1 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "s" inner_product_param { num_output: 2 bias_term: false } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "y" top: "loss" })");
}
class OneSample final : public BatchSource<double> {
 public:
  std::int64_t batch() const override { return 1; }
  void seek(std::int64_t) override {}
  std::span<const BatchTop<double>> next() override { return tops_; }

 private:
  std::vector<double> x_{1.0}, y_{0.0};
  std::vector<BatchTop<double>> tops_{{"x", Shape{1, 1}, x_}, {"y", Shape{1}, y_}};
};
/// Of two_weights' loss by w_0, where w_1 = -w_0: by w_1 it is the opposite, so that this stays so.
double gradient_at(double w) { return -1 / (1 + std::exp(2 * w)); }

/// Rank 2 naps at each step. `steps`: how many each rank took.
Seen<double> run_with_a_slow_worker(const RankedJob& job, std::vector<int>& steps) {
  Seen<double> seen;
  std::mutex mutex;
  ThreadWorld world(3);
  steps.assign(3, 0);
  world.run([&](Communicator& comm) {
    run_rank<double>(job, &comm, seen, mutex, [&] {
      ++steps[static_cast<std::size_t>(comm.rank())];
      const timespec nap{0, comm.rank() == 2 ? 5'000'000 : 0};
      nanosleep(&nap, nullptr);
      return Action::none;
    });
  });
  return seen;
}

}  // namespace

TEST_CASE("local SGD with tau 1 and no momentum is synchronous SGD", "[parallel]") {
  RankedJob job{.ranks = 4, .solver = plain(100)};
  const Seen<double> synchronous = run_ranks<double>(job);
  job.strategy = {.name = "local_sgd", .tau = 1};
  CHECK(largest_difference(run_ranks<double>(job).weights[0], synchronous.weights[0]) < 1e-10);
  job.strategy = {.name = "local_sgd", .tau = 50, .local_from = 100};  // post-local: not yet
  CHECK(largest_difference(run_ranks<double>(job).weights[0], synchronous.weights[0]) < 1e-10);
  std::vector<std::int64_t> averaged;  // iterations, on rank 0
  Seen<double> seen;
  std::mutex mutex;
  ThreadWorld world(4);
  job.strategy = {.name = "local_sgd", .tau = 20, .local_from = 50};
  world.run([&](Communicator& comm) {
    Watching watching(comm);
    std::int64_t iteration = 0;
    watching.on_end = [&](const Operation& op) {
      const bool weights = op.kind == Operation::all_reduce && op.type == ElementType::float64;
      if (weights && comm.rank() == 0) averaged.push_back(iteration);
    };
    run_rank<double>(job, &watching, seen, mutex, [&] { return ++iteration, Action::none; });
  });
  std::vector<std::int64_t> wanted;
  for (std::int64_t t = 0; t < 50; ++t) wanted.push_back(t);
  for (const std::int64_t t : {59, 79, 99}) wanted.push_back(t);
  CHECK(averaged == wanted);
  CHECK(seen.weights[0] == seen.weights[3]);

  job.strategy = {.name = "local_sgd", .tau = 5};
  const Seen<double> local = run_ranks<double>(job);
  CHECK(local.weights[0] == local.weights[3]);  // 100 is a multiple of 5
  CHECK(largest_difference(local.weights[0], synchronous.weights[0]) > 1e-6);
}

TEST_CASE("elastic averaging moves weights and centre by hand-computed steps", "[parallel]") {
  ThreadWorld world(2);
  world.run([](Communicator& comm) {
    Cpu cpu({.threads = 1});
    Net<double, Cpu> net(cpu, two_weights(), all_layers<double, Cpu>());
    SolverSpec still;
    still.base_lr = 0, still.lr_policy = "fixed";
    SgdSolver<double, Cpu> solver(cpu, still, *net.parameters());
    OneSample source;
    Replica<double, Cpu> r{cpu, net, solver, source};
    net.parameters()->edit()[0] = 4;
    ElasticAveraging<double, Cpu> strategy(comm, {.alpha = 0.25, .tau = 2});
    strategy.begin(r);  // both at 4, centre 4
    net.parameters()->edit()[0] = comm.rank() == 0 ? 8 : 2;
    strategy.run_step(r);  // d = 1 and -0.5: x = 7 and 2.5, c = 4.5
    CHECK(net.parameters()->values()[0] == (comm.rank() == 0 ? 7 : 2.5));
    r.iteration = 1;
    strategy.run_step(r);  // not a meeting
    CHECK(net.parameters()->values()[0] == (comm.rank() == 0 ? 7 : 2.5));
    strategy.enter_consensus(r, true);
    CHECK(net.parameters()->values()[0] == 4.5);
    strategy.leave_consensus(r);
    r.iteration = 2;
    strategy.run_step(r);  // d = 0.625 and -0.5: x = 6.375 and 3, c = 4.625
    CHECK(net.parameters()->values()[0] == (comm.rank() == 0 ? 6.375 : 3));
    strategy.end(r);
    CHECK(net.parameters()->values()[0] == 4.625);
  });
}

TEST_CASE("elastic averaging takes the papers' steps", "[parallel]") {
  constexpr double eta = 0.5, alpha = 0.25;
  for (const auto& [eamsgd, delta] : {std::pair{false, 0.0}, {false, 0.875}, {true, 0.875}}) {
    INFO((eamsgd ? "EAMSGD, delta " : "EASGD, delta ") << delta);
    ThreadWorld world(2);
    std::vector<std::vector<double>> seen(2);  // w_0 and w_1 after each step, then the centre
    world.run([&, eamsgd = eamsgd, delta = delta](Communicator& comm) {
      Cpu cpu({.threads = 1});
      Net<double, Cpu> net(cpu, two_weights(), all_layers<double, Cpu>());
      SolverSpec spec;
      spec.base_lr = static_cast<float>(eta), spec.lr_policy = "fixed";
      spec.momentum = static_cast<float>(delta);
      SgdSolver<double, Cpu> solver(cpu, spec, *net.parameters());
      OneSample source;
      Replica<double, Cpu> r{cpu, net, solver, source};
      const auto put = [&](double w) { net.parameters()->edit()[0] = w, net.parameters()->edit()[1] = -w; };
      const auto note = [&] {
        const auto w = net.parameters()->values().first(2);
        auto& own = seen[static_cast<std::size_t>(comm.rank())];
        own.insert(own.end(), w.begin(), w.end());
      };
      put(0.5);
      ElasticAveraging<double, Cpu> strategy(comm, {.alpha = alpha, .tau = 1, .eamsgd = eamsgd});
      strategy.begin(r);  // the centre is 0.5
      put(comm.rank() == 0 ? 1 : -1);
      for (; r.iteration < 3; ++r.iteration) strategy.run_step(r), note();
      strategy.end(r), note();
    });
    double x[2] = {1, -1}, v[2] = {0, 0}, c = 0.5;
    std::vector<std::vector<double>> wanted(2);
    for (int t = 0; t < 3; ++t) {
      const double d[2] = {alpha * (x[0] - c), alpha * (x[1] - c)};
      for (const std::size_t i : {0u, 1u}) {
        v[i] = delta * v[i] - eta * gradient_at(eamsgd ? x[i] + delta * v[i] : x[i]);
        x[i] += v[i] - d[i];
        wanted[i].insert(wanted[i].end(), {x[i], -x[i]});
      }
      c += d[0] + d[1];
    }
    for (const std::size_t i : {0u, 1u}) {
      wanted[i].insert(wanted[i].end(), {c, -c});
      CHECK(largest_difference(seen[i], wanted[i]) < 1e-12);
    }
  }
}

TEST_CASE("elastic averaging of one rank without a spring is SGD", "[parallel]") {
  RankedJob job{.ranks = 1, .solver = tiny_solver(60)};
  const Seen<double> alone = run_alone<double>(job);
  job.strategy = {.name = "easgd", .alpha = 0};
  CHECK(run_ranks<double>(job).losses == alone.losses);
  job.solver = plain(60);
  const Seen<double> easgd = run_ranks<double>(job);
  job.strategy.name = "eamsgd";  // no momentum: the same
  CHECK(run_ranks<double>(job).losses == easgd.losses);
}

TEST_CASE("Downpour with one worker that fetches and pushes always is SGD", "[parallel]") {
  RankedJob job{.ranks = 2, .shards = 1, .solver = plain(80)};
  const Seen<double> alone = run_alone<double>(job);
  job.strategy.name = "downpour";
  const Seen<double> served = run_ranks<double>(job);
  CHECK(served.weights[0] == alone.weights[0]);
  CHECK(largest_difference(served.losses, alone.losses) < 1e-12);
}

TEST_CASE("no delay is synchronous SGD; the server keeps the bound", "[parallel]") {
  RankedJob job{.ranks = 2, .shards = 2, .solver = plain(60)};
  const Seen<double> synchronous = run_ranks<double>(job);
  job.ranks = 3, job.strategy = {.name = "bounded_delay", .delay = 0};
  const Seen<double> served = run_ranks<double>(job);
  CHECK(largest_difference(served.weights[0], synchronous.weights[0]) < 1e-10);
  CHECK(served.ahead == 0);

  std::vector<int> steps;
  run_with_a_slow_worker(job, steps);
  CHECK(steps == std::vector<int>{60, 60, 60});  // none takes over what is another's

  job.strategy.delay = 3;
  const Seen<double> seen = run_with_a_slow_worker(job, steps);
  CHECK(seen.ahead <= 3);
  CHECK(seen.ahead > 0);
}

TEST_CASE("workers of a parameter server share the steps: a fast one takes over a slow one's", "[parallel]") {
  for (const StrategyOptions& s :
       {StrategyOptions{.name = "downpour"}, StrategyOptions{.name = "downpour", .n_fetch = 3, .n_push = 2},
        StrategyOptions{.name = "bounded_delay", .delay = 4}}) {
    INFO(s.name << " " << s.n_fetch);
    RankedJob job{.ranks = 3, .shards = 2, .strategy = s, .solver = plain(61)};
    job.solver.base_lr = 0.01f;
    std::vector<int> steps;
    const Seen<double> seen = run_with_a_slow_worker(job, steps);
    CHECK(seen.losses.size() == 61);
    CHECK(steps[1] + steps[2] == 2 * 61);
    CHECK(steps[1] > 2 * steps[2]);
  }
}

TEST_CASE("every strategy learns", "[parallel]") {
  for (const StrategyOptions& s :
       {StrategyOptions{.name = "local_sgd", .tau = 8}, StrategyOptions{.name = "easgd", .tau = 4},
        StrategyOptions{.name = "eamsgd", .tau = 4},
        StrategyOptions{.name = "downpour", .n_fetch = 2, .n_push = 2},
        StrategyOptions{.name = "bounded_delay", .delay = 2}}) {
    INFO(s.name);
    RankedJob job{.ranks = 3, .shards = 6, .global_batch = 24, .strategy = s, .solver = tiny_solver(200)};
    job.solver.momentum = 0.5f, job.solver.stepsize = 1000, job.solver.test_interval = 200;
    const Seen<float> seen = run_ranks<float>(job);
    REQUIRE(seen.tests.size() == 4);
    CHECK(seen.tests[2] > 0.95);  // accuracy at the end
    CHECK(seen.tests[2] > seen.tests[0]);
  }
}

TEST_CASE("a host that says stop stops all ranks", "[parallel]") {
  for (const char* name : {"synchronous", "local_sgd", "easgd", "downpour", "bounded_delay"}) {
    INFO(name);
    RankedJob job{.ranks = 3, .shards = 6, .global_batch = 24, .solver = tiny_solver(100000)};
    job.strategy.name = name;
    Seen<float> seen;
    std::mutex mutex;
    ThreadWorld world(3);
    world.run([&](Communicator& comm) {
      int steps = 0;
      run_rank<float>(job, &comm, seen, mutex,
                      [&] { return comm.rank() == 0 && ++steps == 10 ? Action::stop : Action::none; });
    });
    CHECK(seen.losses.size() >= 10);
    CHECK(seen.losses.size() < 20);
  }
}

TEST_CASE("snapshots of every strategy hold what the ranks agree on, and change nothing", "[parallel]") {
  for (const char* name : {"local_sgd", "easgd", "eamsgd"}) {
    INFO(name);
    const TemporaryFolder folder;
    RankedJob job{.ranks = 2, .solver = tiny_solver(30)};
    job.strategy.name = name, job.strategy.tau = 4;
    const Seen<double> quiet = run_ranks<double>(job);
    job.solver.snapshot_prefix = folder.path + "/job", job.solver.snapshot = 10;
    CHECK(run_ranks<double>(job).weights == quiet.weights);
    job.resume = newest_snapshot(job.solver.snapshot_prefix).state;
    CHECK(job.resume.find("iter_30") != std::string::npos);
    job.solver.max_iter = 40;
    CHECK(run_ranks<double>(job).losses.size() == 10);
  }
}

TEST_CASE("a parameter server's snapshot counts the workers' samples, and resumes with others",
          "[parallel]") {
  const TemporaryFolder folder;
  RankedJob job{.ranks = 3, .shards = 4, .global_batch = 16, .solver = plain(30)};
  job.strategy.name = "downpour";
  job.solver.snapshot_prefix = folder.path + "/job", job.solver.snapshot = 30;
  run_ranks<double>(job);
  job.resume = newest_snapshot(job.solver.snapshot_prefix).state;
  CHECK(read_snapshot(job.resume).info.global_batch == 16);
  job.solver.max_iter = 40;
  CHECK(run_ranks<double>(job).losses.size() == 10);
  job.ranks = 5;  // four workers instead of two
  CHECK(run_ranks<double>(job).losses.size() == 10);
  job.strategy.name = "synchronous", job.ranks = 2;
  CHECK(run_ranks<double>(job).losses.size() == 10);
}

TEST_CASE("settings that cannot be right are refused", "[parallel]") {
  SelfCommunicator self;
  const auto make = [&](const StrategyOptions& o) { make_strategy<float, Cpu>(self, o); };
  CHECK_THROWS_AS(make({.name = "hogwild"}), SpecError);
  CHECK_THROWS_AS(make({.name = "local_sgd", .tau = 0}), SpecError);
  CHECK_THROWS_AS(make({.name = "easgd", .alpha = 1.5}), SpecError);
  CHECK_THROWS_AS(make({.name = "downpour"}), SpecError);
  CHECK_THROWS_AS(shards_of(self, "synchronous", -1), SpecError);
}

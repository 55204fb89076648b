// SPDX-License-Identifier: Apache-2.0
#include "crema/train/trainer.hpp"

#include "catch.hpp"
#include "tiny.hpp"

using namespace crema_test;

namespace {
struct Events final : Observer {
  std::string text;
  std::vector<double> loss;
  double accuracy = 0;
  std::int64_t tested = 0;
  void on_start(const JobInfo& j) override {
    text += cat("start ", j.first_iteration, "-", j.last_iteration, " ");
  }
  void on_step(const StepInfo& s) override { loss.push_back(s.loss); }
  void on_test_start(std::int64_t i, int net) override { text += cat("test ", i, "#", net, " "); }
  void on_test(const TestInfo& t) override { accuracy = t.outputs[0].value, ++tested; }
  void on_snapshot(std::int64_t i, const SnapshotPaths&) override { text += cat("snapshot ", i, " "); }
  void on_end(std::int64_t i, Ending e, const double* loss_at_end) override {
    text += cat(e == Ending::done ? "done " : "stopped ", i, loss_at_end ? " with loss" : "");
  }
};
}  // namespace

TEST_CASE("a job learns, tests and ends in Caffe's order", "[train]") {
  const TemporaryFolder folder;
  Tiny t;
  SolverSpec s = tiny_solver(60);
  s.test_interval = 20, s.display = 30, s.snapshot = 30, s.snapshot_prefix = folder.path + "/t",
  s.snapshot_after_train = true;
  Trainer<float, Cpu> trainer(t.cpu, s, t.net, t.source, {.seed = 1});
  trainer.add_test(t.test_net, t.test_source, 5);
  Events events;
  trainer.add(events);
  CHECK(trainer.run() == Ending::done);
  CHECK(events.text ==
        "start 0-60 test 0#0 test 20#0 snapshot 30 test 40#0 snapshot 60 test 60#0 done 60 with loss");
  CHECK(events.loss.size() == 60);
  CHECK(events.loss.back() < 0.5 * events.loss.front());
  CHECK(events.accuracy > 0.9);
}

TEST_CASE("a test counts every sample once, however it is cut", "[train]") {
  Tiny t;
  const SolverSpec s = tiny_solver(10);
  Trainer<float, Cpu> trainer(t.cpu, s, t.net, t.source, {.seed = 1});
  DatasetSource<float> one_by_one(tiny_data(), {.scale = Tiny::scale},
                                  {.batch = 7, .phase = Phase::test, .wrap = false}, "data", "label");
  Net<float, Cpu> other(t.cpu, parse_net(tiny_net(7)), all_layers<float, Cpu>(), {.phase = Phase::test},
                        t.net.parameters());
  trainer.add_test(t.test_net, t.test_source, 5);  // 4 batches of 20 and one of 10
  trainer.add_test(other, one_by_one, 1000);       // 13 batches, the last of 6
  trainer.run();
  std::vector<double> values;
  struct Values final : Observer {
    std::vector<double>& out;
    explicit Values(std::vector<double>& o) : out(o) {}
    void on_test(const TestInfo& i) override {
      for (const OutputValue& v : i.outputs) out.push_back(v.value);
    }
  } observer(values);
  trainer.add(observer);
  trainer.test_all();
  REQUIRE(values.size() == 4);
  CHECK(values[0] == values[2]);  // accuracy
  CHECK(values[1] == Approx(values[3]).epsilon(1e-6));
}

TEST_CASE("iter_size parts of one batch are that batch", "[train]") {
  Tiny whole(1, 16), parts(1, 8);
  SolverSpec s = tiny_solver(15);
  const auto no_dropout = [](std::int64_t batch) {
    NetSpec n = parse_net(tiny_net(batch));
    std::erase_if(n.layers, [](const LayerSpec& l) { return l.type == "Dropout"; });
    for (LayerSpec& l : n.layers)
      for (std::string& b : l.bottom)
        if (b == "drop") b = "pool";
    return n;
  };
  Net<float, Cpu> a(whole.cpu, no_dropout(16), all_layers<float, Cpu>(), {.seed = 1});
  Net<float, Cpu> b(parts.cpu, no_dropout(8), all_layers<float, Cpu>(), {.seed = 1});
  Events losses_a, losses_b;
  Trainer<float, Cpu> ta(whole.cpu, s, a, whole.source, {.seed = 1});
  ta.add(losses_a), ta.run();
  s.iter_size = 2;
  Trainer<float, Cpu> tb(parts.cpu, s, b, parts.source, {.seed = 1});
  tb.add(losses_b), tb.run();
  for (std::size_t i = 0; i < 15; ++i) CHECK(losses_a.loss[i] == Approx(losses_b.loss[i]).epsilon(2e-5));
  const auto wa = a.parameters()->values(), wb = b.parameters()->values();
  for (std::size_t i = 0; i < wa.size(); ++i) CHECK(wa[i] == Approx(wb[i]).margin(2e-5));
}

TEST_CASE("average_loss smooths over the last iterations", "[train]") {
  std::vector<double> raw;
  for (const int window : {1, 4}) {
    Tiny t;
    SolverSpec s = tiny_solver(12);
    s.average_loss = window;
    Trainer<float, Cpu> trainer(t.cpu, s, t.net, t.source, {.seed = 1});
    Events e;
    trainer.add(e), trainer.run();
    if (window == 1) {
      raw = e.loss;
      continue;
    }
    CHECK(e.loss[1] == Approx((raw[0] + raw[1]) / 2));
    CHECK(e.loss[11] == Approx((raw[8] + raw[9] + raw[10] + raw[11]) / 4));
  }
}

TEST_CASE("the host stops a job, or cancels it", "[train]") {
  Tiny t;
  int steps = 0;
  Trainer<float, Cpu> trainer(
      t.cpu, tiny_solver(100), t.net, t.source,
      {.seed = 1, .after_step = [&] { return ++steps == 7 ? Action::stop : Action::none; }});
  CHECK(trainer.run() == Ending::stopped);
  CHECK(trainer.iteration() == 7);
  Cancel cancel;
  cancel.request();
  Tiny u;
  Trainer<float, Cpu> cancelled(u.cpu, tiny_solver(100), u.net, u.source, {.seed = 1, .cancel = &cancel});
  CHECK_THROWS_AS(cancelled.run(), Cancelled);
}

TEST_CASE("a job that was stopped and resumed ends with the bits of one that was not", "[train]") {
  const int stop_after = GENERATE(1, 11, 12, 30, 47);
  const TemporaryFolder folder;
  SolverSpec s = tiny_solver(48);  // 90 samples in batches of 8: epochs end within batches
  s.snapshot_prefix = folder.path + "/t";
  Tiny straight;
  Trainer<float, Cpu> all(straight.cpu, s, straight.net, straight.source, {.seed = 1});
  Events without;
  all.add(without), all.run();
  {
    Tiny t;
    s.snapshot_after_train = true;
    int steps = 0;
    Trainer<float, Cpu> trainer(
        t.cpu, s, t.net, t.source,
        {.seed = 1, .after_step = [&] { return ++steps == stop_after ? Action::stop : Action::none; }});
    trainer.run();
  }
  Tiny t(77);  // other weights, until the snapshot is read
  DatasetSource<float> source(tiny_data(), {.scale = Tiny::scale}, {.batch = 8, .seed = 1, .shuffle = true},
                              "data", "label");
  Trainer<float, Cpu> trainer(t.cpu, s, t.net, source, {.seed = 1});
  const SnapshotInfo info = trainer.resume(newest_snapshot(s.snapshot_prefix).state);
  CHECK(info.iteration == stop_after);
  Events resumed;
  trainer.add(resumed), trainer.run();
  CHECK(t.weights() == straight.weights());
  const auto a = trainer.solver().history(0), b = all.solver().history(0);
  CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  CHECK(std::equal(resumed.loss.begin(), resumed.loss.end(), without.loss.begin() + stop_after));
}

TEST_CASE("a trainer refuses what cannot be right", "[train]") {
  Tiny t;
  const auto refused = [&](const auto& change) {
    SolverSpec s = tiny_solver(10);
    change(s);
    try {
      Trainer<float, Cpu> trainer(t.cpu, s, t.net, t.source, {});
      return std::string();
    } catch (const SpecError& e) {
      return std::string(e.what());
    }
  };
  CHECK(refused([](SolverSpec&) {}).empty());
  CHECK(refused([](SolverSpec& s) { s.max_iter = -1; }).find("max_iter") != std::string::npos);
  CHECK(refused([](SolverSpec& s) { s.iter_size = 0; }).find("iter_size") != std::string::npos);
  CHECK(refused([](SolverSpec& s) { s.average_loss = 0; }).find("average_loss") != std::string::npos);
  CHECK(refused([](SolverSpec& s) { s.snapshot = 5; }).find("snapshot_prefix") != std::string::npos);
  CHECK(refused([](SolverSpec& s) { s.snapshot_format = SnapshotFormat::hdf5; }).find("HDF5") !=
        std::string::npos);
  Trainer<float, Cpu> trainer(t.cpu, tiny_solver(1), t.net, t.source, {});
  CHECK_THROWS_AS(trainer.add_test(t.test_net, t.test_source, 0), SpecError);
  Tiny other;
  CHECK_THROWS_AS(trainer.add_test(other.test_net, other.test_source, 1), SpecError);
  CHECK_THROWS_AS(trainer.snapshot(), SpecError);
}

// SPDX-License-Identifier: Apache-2.0
// Flags, import, export, data layers, jobs: what the bad-input table does not say.
#include "catch.hpp"
#include "crema/caffe/flags.hpp"
#include "small_job.hpp"

using namespace crema_test;
using Strings = std::vector<std::string>;

TEST_CASE("known flags get their second dash, and nothing else changes", "[caffe]") {
  const Strings known = {"solver", "gpu"};
  CHECK(with_two_dashes({"train", "-solver", "s", "-gpu=0"}, known) ==
        Strings{"train", "--solver", "s", "--gpu=0"});
  CHECK(with_two_dashes({"--solver=s", "-x", "-", "-1", "-solverx"}, known) ==
        Strings{"--solver=s", "-x", "-", "-1", "-solverx"});
  CHECK(with_two_dashes({"-gpu", "--", "-gpu"}, known) == Strings{"--gpu", "--", "-gpu"});
}

TEST_CASE("a net and its weights go out and come back", "[caffe]") {
  const SmallJob j;
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.write()), all_layers<float, Cpu>());
  job.trainer().run();
  save_weights(cpu, job.net(), j.path("out.caffemodel"));
  save_net(job.net().spec(), j.path("out.prototxt"));
  const NetSpec back = read_net(j.path("out.prototxt"));
  CHECK(back == job.net().spec());
  Net<float, Cpu> net(cpu, back, all_layers<float, Cpu>(), {.seed = 99});
  const CopyReport report = load_weights(cpu, net, j.path("out.caffemodel"));
  CHECK(report.copied == Strings{"conv", "ip"});
  const auto a = net.parameters()->values(), b = job.net().parameters()->values();
  CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  for (const LayerSpec& l : read_weights(j.path("out.caffemodel")).layers)
    CHECK(l.blobs.size() == (l.name == "conv" || l.name == "ip" ? 2 : 0));
}

TEST_CASE("a solver's file says the rest", "[caffe]") {
  const TemporaryFolder folder;
  CHECK(read_solver(folder.write("x/quick_solver.prototxt", "net: \"n\"")).snapshot_prefix ==
        folder.path + "/x/quick_solver");
  CHECK(read_solver(folder.write("y", "net: \"n\" snapshot_prefix: \"z\"")).snapshot_prefix == "z");
  const SolverSpec legacy = read_solver(folder.write("y", "solver_type: NESTEROV"));
  CHECK(legacy.type == "Nesterov");
  CHECK(!legacy.solver_type);
}

TEST_CASE("data layers are opened once and share their dataset", "[caffe]") {
  const SmallJob j;
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.write()), all_layers<float, Cpu>());
  REQUIRE(job.tests().size() == 1);
  CHECK(job.tests()[0].data[0].dataset->size() == 90);
  CHECK(job.net().inputs().size() == 2);
  CHECK(job.net().inputs()[0].shape == Shape{8, 1, 6, 6});
  CHECK(job.tests()[0].net->inputs()[0].shape == Shape{20, 1, 6, 6});
  CHECK(job.net().spec().layers[0].type == "Input");
}

TEST_CASE("a data root is searched after the net's own folder", "[caffe]") {
  SmallJob j;
  const TemporaryFolder elsewhere;
  for (const char* f : {"tiny-images-idx3-ubyte", "tiny-labels-idx1-ubyte"})
    std::filesystem::rename(j.path(f), elsewhere.path + "/" + f);
  Cpu cpu({.threads = 1});
  const SolverSpec s = read_solver(j.write());
  CHECK_THROWS_AS((Job<float, Cpu>(cpu, s, all_layers<float, Cpu>())), DataError);
  CHECK_NOTHROW(Job<float, Cpu>(cpu, s, all_layers<float, Cpu>(), {.data_roots = {elsewhere.path}}));
}

TEST_CASE("test nets come in Caffe's order with their states", "[caffe]") {
  SmallJob j;
  SmallJob::replace(j.net, "top: \"accuracy\" include { phase: TEST }",
                    "top: \"accuracy\" include { phase: TEST stage: \"score\" }");
  SmallJob::replace(j.solver, "test_iter: 5",
                    "test_iter: [5, 2] test_state { stage: \"score\" } test_state { }");
  Cpu cpu({.threads = 1});
  Job<float, Cpu> job(cpu, read_solver(j.write()), all_layers<float, Cpu>());
  REQUIRE(job.tests().size() == 2);
  CHECK(job.tests()[0].net->outputs().size() == 2);
  CHECK(job.tests()[1].net->outputs().size() == 1);
  CHECK(job.tests()[0].net->parameters() == job.net().parameters());
}

TEST_CASE("seed, level and stages of the host win", "[caffe]") {
  const SmallJob j;
  Cpu cpu({.threads = 1});
  const SolverSpec s = read_solver(j.write());
  Job<float, Cpu> a(cpu, s, all_layers<float, Cpu>()), b(cpu, s, all_layers<float, Cpu>(), {.seed = 1}),
      c(cpu, s, all_layers<float, Cpu>(), {.seed = 2});
  CHECK(a.net().parameters()->fingerprint() == b.net().parameters()->fingerprint());
  CHECK(a.net().parameters()->values()[0] == b.net().parameters()->values()[0]);
  CHECK(a.net().parameters()->values()[0] != c.net().parameters()->values()[0]);
}

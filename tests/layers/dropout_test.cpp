// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/dropout.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec drop(float ratio) {
  return layer("Dropout", "drop", {"x"}, {"y"}, DropoutOptions{.dropout_ratio = ratio});
}
}  // namespace

TEST_CASE("Dropout holds the layer contract", "[layers]") {
  for (const Phase phase : {Phase::train, Phase::test})
    for (const Shape& s : {Shape{5, 3, 4, 4}, Shape{18, 7}, Shape{2, 3, 5}}) {
      CAPTURE(static_cast<int>(phase), s.rank());
      check_layer<Dropout>({.spec = drop(0.3f), .bottom = {s}, .phase = phase});
    }
  check_arity<Dropout>(drop(0.5f), Shape{2, 2}, 1, 1);
}

TEST_CASE("Dropout draws by seed, name, iteration and global sample", "[layers]") {
  Cpu cpu({.threads = 1});
  const Shape shape{8, 50};
  std::vector<float> x(400, 1), y(400);
  const auto run = [&](const std::string& name, const Step& step, std::int64_t first, std::int64_t n) {
    LayerSpec spec = drop(0.5f);
    spec.name = name;
    Dropout<float, Cpu> d(spec);
    const View<const float, Cpu> in{x.data() + first * 50, shape.with(0, n), {}};
    const View<float, Cpu> out{y.data() + first * 50, shape.with(0, n), {}};
    std::array<Loss, 1> loss;
    d.forward(cpu, {std::span(&in, 1), {}, 1, std::span(&out, 1), {}, {}, {}, step, loss});
    return y;
  };
  const Step step{.seed = 3, .iteration = 9, .first_sample = 100};
  const auto whole = run("a", step, 0, 8);
  for (const float v : whole) CHECK((v == 0 || v == 2));
  std::fill(y.begin(), y.end(), 7.f);
  Step half = step;
  run("a", half, 0, 4);
  half.first_sample = 104;
  CHECK(run("a", half, 4, 4) == whole);  // two ranks drop what one would
  CHECK(run("b", step, 0, 8) != whole);
  for (Step other : {Step{.seed = 4, .iteration = 9, .first_sample = 100},
                     Step{.seed = 3, .iteration = 10, .first_sample = 100},
                     Step{.seed = 3, .iteration = 9, .part = 1, .first_sample = 100}})
    CHECK(run("a", other, 0, 8) != whole);
  CHECK(run("a", step, 0, 8) == whole);
}

TEST_CASE("Dropout refuses a ratio that leaves nothing", "[layers]") {
  for (const float ratio : {1.f, -0.1f, 2.f})
    CHECK_THROWS_AS((Dropout<float, Cpu>::plan(drop(ratio), std::vector<Shape>{{2, 2}})), SpecError);
}

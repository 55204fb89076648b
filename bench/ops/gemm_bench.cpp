// SPDX-License-Identifier: Apache-2.0
// SGEMM beside OpenBLAS, in turns, one thread each; prints a markdown table.
//
//   gemm_bench [PAIRS]
//
// Shapes: two large squares, and the products that Caffe's lowered layers ask for. A pair is the fastest of
// repeated calls here and there; the ratio is the median over the pairs of OpenBLAS's time / crema's. Both
// results are compared before anything is timed.
#include <cblas.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "../ceiling.hpp"
#include "crema/core/random.hpp"
#include "crema/core/text.hpp"
#include "crema/cpu/cpu.hpp"

using namespace crema;

namespace {

struct Product {
  const char* what;
  int m, n, k;
};
constexpr std::array<Product, 8> products{{{"square", 512, 512, 512},
                                           {"square", 2048, 2048, 2048},
                                           {"LeNet ip1", 64, 500, 800},
                                           {"CaffeNet conv2, a group", 128, 729, 1200},
                                           {"7x7 maps of 512", 512, 49, 4608},
                                           {"LeNet conv1", 20, 576, 25},
                                           {"LeNet conv2", 50, 64, 500},
                                           {"CaffeNet fc6", 16, 4096, 9216}}};

std::vector<float> random_matrix(std::size_t n, std::string_view name) {
  std::vector<float> v(n);
  for (std::uint32_t i = 0; i < n; ++i)
    v[i] = static_cast<float>(uniform(philox({i, 0, 0, 0}, random_key(1, name))[0]) - 0.5);
  return v;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

/// Seconds of the fastest call among about 20 ms of calls, three at least.
template <class F>
double fastest(const F& call) {
  double best = 1e9, total = 0;
  for (int i = 0; i < 3 || total < 0.02; ++i) {
    const double start = monotonic_seconds();
    call();
    const double t = monotonic_seconds() - start;
    best = std::min(best, t), total += t;
  }
  return best;
}

struct Result {
  double ratio, own_gflops, peer_gflops;
};

Result measure(Cpu& cpu, const Product& p, bool ta, bool tb, int pairs) {
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const auto a = random_matrix(size(p.m, p.k), "a"), b = random_matrix(size(p.k, p.n), "b");
  std::vector<float> own(size(p.m, p.n)), peer(own.size());
  const int lda = ta ? p.m : p.k, ldb = tb ? p.k : p.n;
  const auto ours = [&] {
    gemm<float>(cpu, Transpose{ta}, Transpose{tb}, p.m, p.n, p.k, 1, a.data(), lda, b.data(), ldb, 0,
                own.data(), p.n);
  };
  const auto theirs = [&] {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, p.m, p.n, p.k,
                1, a.data(), lda, b.data(), ldb, 0, peer.data(), p.n);
  };
  ours(), theirs();
  for (std::size_t i = 0; i < own.size(); ++i)
    if (!(std::fabs(own[i] - peer[i]) < 1e-4 * std::sqrt(p.k) + 1e-4))
      throw Error(cat(p.what, ": element ", i, " is ", own[i], ", OpenBLAS has ", peer[i]));
  std::vector<double> ratios;
  double best_own = 1e9, best_peer = 1e9;
  for (int i = 0; i < pairs; ++i) {
    const double o = fastest(ours), q = fastest(theirs);
    ratios.push_back(q / o);
    best_own = std::min(best_own, o), best_peer = std::min(best_peer, q);
  }
  const double work = 2e-9 * p.m * p.n * p.k;
  return {median(ratios), work / best_own, work / best_peer};
}

}  // namespace

int main(int argc, char** argv) try {
  int pairs = 10;
  if (argc > 1 && !parse_number(std::string_view(argv[1]), pairs))
    throw SpecError(cat("'", argv[1], "' is no number of pairs"));
  openblas_set_num_threads(1);
  Cpu cpu({.threads = 1});
  const double ceiling = crema_bench::fma_ceiling(cpu);
  std::printf("crema %s (%s), OpenBLAS with %s kernels, one thread; ceiling %.0f GFLOP/s\n\n", CREMA_VERSION,
              std::string(name_of(cpu.isa())).c_str(), openblas_get_corename(), ceiling);
  std::printf(
      "| m n k | | crema GFLOP/s | share of the ceiling | OpenBLAS GFLOP/s | ratio NN | TN | NT | TT |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  double plain = 0, all = 0;
  for (const Product& p : products) {
    std::array<Result, 4> r;
    for (unsigned i = 0; i < 4; ++i) {
      r[i] = measure(cpu, p, i & 1, i & 2, pairs);
      all += std::log(r[i].ratio);
    }
    plain += std::log(r[0].ratio);
    std::printf("| %d %d %d | %s | %.0f | %.0f %% | %.0f | %.2f | %.2f | %.2f | %.2f |\n", p.m, p.n, p.k,
                p.what, r[0].own_gflops, 100 * r[0].own_gflops / ceiling, r[0].peer_gflops, r[0].ratio,
                r[1].ratio, r[2].ratio, r[3].ratio);
    std::fflush(stdout);
  }
  std::printf("\ngeometric mean of the ratios: NN %.2f, all four cases %.2f\n",
              std::exp(plain / products.size()), std::exp(all / (4 * products.size())));
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "gemm_bench: %s\n", e.what());
  return 1;
}

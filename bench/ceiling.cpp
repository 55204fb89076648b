// SPDX-License-Identifier: Apache-2.0
// Prints the machine's own multiply-add ceiling: every instruction set that it has, one thread and all.
#include "ceiling.hpp"

#include <cstdio>
#include <string>

#include "crema/cpu/cpu.hpp"

int main() {
  using namespace crema;
  const int all = Cpu().threads();
  std::printf("| instruction set | 1 thread | %d threads |\n| --- | --- | --- |\n", all);
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_available(isa)) continue;
    Cpu one({.threads = 1, .isa = isa}), every({.threads = all, .isa = isa});
    std::printf("| %s | %.0f GFLOP/s | %.0f GFLOP/s |\n", std::string(name_of(isa)).c_str(),
                crema_bench::fma_ceiling(one), crema_bench::fma_ceiling(every));
  }
}

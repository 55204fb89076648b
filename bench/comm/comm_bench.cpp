// SPDX-License-Identifier: Apache-2.0
// Seconds of an all_reduce of floats, by size, for one communicator:
//
//   comm_bench threads RANKS                        comm_bench tcp RANK RANKS ADDRESS SECRET
//   comm_bench copy                                 no sums: each of 2 threads copies half of the other's data
//   mpiexec -n 2 comm_bench_mpich mpi               MPI_Allreduce as it is: MPI waits by spinning
//   mpiexec -n 2 comm_bench_mpich crema             the same library below MpiCommunicator
//
// Rank 0 prints "BYTES SECONDS" lines: the median of single calls. bench/comm/run.py compares.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#ifdef CREMA_BENCH_MPI
#include "crema/comm/mpi_world.hpp"
#else
#include "crema/comm/threads.hpp"
#include "crema/comm/world.hpp"
#endif

using namespace crema;

namespace {

constexpr std::size_t sizes[] = {4096,     65536,     262144,    1u << 20,  4u << 20,
                                 8u << 20, 32u << 20, 64u << 20, 128u << 20};

/// reduce(data, n) on every rank makes ones `expected`; `prints` on one.
template <class Reduce>
void measure(bool prints, int expected, Reduce&& reduce) {
  std::vector<float> data(sizes[std::size(sizes) - 1] / sizeof(float), 1.0f);
  for (const std::size_t bytes : sizes) {
    const std::size_t n = bytes / sizeof(float);
    const int calls = static_cast<int>(std::clamp<std::size_t>((128u << 20) / bytes, 7, 301));
    std::vector<double> times;
    for (int k = -2; k < calls; ++k) {
      std::fill_n(data.begin(), n, 1.0f);  // as a gradient is written just before
      const double start = monotonic_seconds();
      reduce(data.data(), n);
      if (k >= 0) times.push_back(monotonic_seconds() - start);
    }
    const auto right = static_cast<float>(expected);
    if (!std::all_of(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n),
                     [right](float x) { return x == right; }))
      throw Error(cat("a wrong number after the last call of ", bytes, " bytes"));
    std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
    if (prints) std::printf("%zu %.9f\n", bytes, times[static_cast<std::size_t>(calls) / 2]);
  }
}
void measure(Communicator& comm) {
  measure(comm.rank() == 0, comm.size(), [&](float* data, std::size_t n) {
    comm.barrier();
    comm.all_reduce(std::span(data, n));
  });
}
#ifndef CREMA_BENCH_MPI
void measure_copy() {
  ThreadWorld world(2);
  const float* all[2];
  world.run([&](Communicator& comm) {
    measure(comm.rank() == 0, 1, [&](float* data, std::size_t n) {
      all[comm.rank()] = data;
      comm.barrier();
      const Part half = part_of(n, 2, comm.rank());
      std::memcpy(data + half.first, all[1 - comm.rank()] + half.first, half.count * sizeof(float));
      comm.barrier();
    });
  });
}
#endif

int run(int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "";
#ifdef CREMA_BENCH_MPI
  int level = 0, rank = 0, ranks = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (how == "mpi") {
    measure(rank == 0, ranks, [](float* data, std::size_t n) {
      MPI_Barrier(MPI_COMM_WORLD);
      MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    });
  } else {
    MpiWorld world(MPI_COMM_WORLD);
    measure(world.communicator());
    world.leave();
  }
  MPI_Finalize();
#else
  if (how == "threads" && argc == 3) {
    ThreadWorld world(std::atoi(argv[2]));
    world.run([](Communicator& comm) { measure(comm); });
  } else if (how == "copy") {
    measure_copy();
  } else if (how == "tcp" && argc == 6) {
    World world(
        {.rank = std::atoi(argv[2]), .size = std::atoi(argv[3]), .address = argv[4], .secret = argv[5]});
    measure(world.communicator());
    world.leave();
  } else {
    return 2;
  }
#endif
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "comm_bench: %s\n", e.what());
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
// A program that uses MPI by itself, and crema over it.
#include <crema/comm/mpi_world.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  {
    crema::MpiWorld world(MPI_COMM_WORLD);
    float ranks[] = {1};
    world.communicator().all_reduce(std::span<float>(ranks));
    if (world.communicator().rank() == 0) std::printf("%g rank(s) over MPI\n", static_cast<double>(ranks[0]));
    world.leave();
  }
  MPI_Finalize();
}

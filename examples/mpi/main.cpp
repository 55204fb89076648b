// SPDX-License-Identifier: Apache-2.0
// mpi: trains what a solver.prototxt describes on several processes, over MPI.
//
//   mpiexec.mpich -n 2 crema_mpi examples/fashion_mnist/lenet_solver.prototxt /usr/share/datasets/fashion-mnist
//
// The same program with no mpirun, in two shells (or on two machines; MPICH only), CREMA_SECRET set in both:
//
//   crema_mpi SOLVER DATA 127.0.0.1:4711 0 2
//   crema_mpi SOLVER DATA 127.0.0.1:4711 1 2
//
// All ranks take batches of the prototxt's size: the global batch is that many times the ranks.
#include <crema/caffe/job.hpp>
#include <crema/comm/mpi_world.hpp>
#include <crema/cpu/cpu.hpp>
#include <crema/layers/all.hpp>
#include <crema/parallel/all.hpp>
#include <crema/train/log.hpp>

#include <cstdio>
#include <cstdlib>
using namespace crema;

namespace {

void train(MpiWorld& world, const std::string& solver, const std::string& data) {
  Communicator& comm = world.communicator();
  const int cores = std::max(1, allowed_cores() / std::max(1, world.ranks_on_this_host()));
  Cpu cpu({.threads = cores});
  JobOptions options;
  options.data_roots = {data};
  options.shards = shards_of(comm, "synchronous");
  options.after_step = [&world, step = std::int64_t{0}]() mutable {
    world.world().set_step(++step);  // the beats carry it: a rank that stands still is seen
    return Action::none;
  };
  Job<float, Cpu> job(cpu, read_solver(solver), all_layers<float, Cpu>(), options,
                      make_strategy<float, Cpu>(comm, {.name = "synchronous"}));
  Log log([](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); });
  if (comm.rank() == 0) job.trainer().add(log);
  job.trainer().run();
}

int run(int argc, char** argv) {
  if (argc != 3 && argc != 6) {
    std::fputs("crema_mpi SOLVER DATA [ADDRESS RANK RANKS]\n", stderr);
    return 2;
  }
  if (argc == 6) {
    const char* const secret = std::getenv("CREMA_SECRET");
    MpiWorld world({.rank = std::atoi(argv[4]),
                    .size = std::atoi(argv[5]),
                    .address = argv[3],
                    .secret = secret ? secret : ""});
    train(world, argv[1], argv[2]);
    world.leave();
    return 0;
  }
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  {
    MpiWorld world(MPI_COMM_WORLD);
    train(world, argv[1], argv[2]);
    world.leave();
  }
  MPI_Finalize();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "crema_mpi: %s\n", e.what());
  }
  std::fflush(stderr);
  std::_Exit(1);  // MPI_Finalize would wait for ranks that are lost
}

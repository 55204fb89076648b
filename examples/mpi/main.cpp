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
// All ranks take batches of the prototxt's size: the global batch is that many times the ranks. Of the flags of `crema train`
// it knows --strategy=NAME, --snapshot=auto, --deadline=SECONDS, --silence=SECONDS and --timeout=SECONDS.
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

struct Flags {
  std::vector<std::string> words;
  std::string strategy = "synchronous", snapshot;
  double deadline = 30, silence = 10, timeout = 300;
};
Flags read_flags(int argc, char** argv) {
  Flags f;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i], value = word.substr(std::min(word.size(), word.find('=') + 1));
    if (word.starts_with("--strategy="))
      f.strategy = value;
    else if (word.starts_with("--snapshot="))
      f.snapshot = value;
    else if (word.starts_with("--deadline="))
      f.deadline = std::atof(value.data());
    else if (word.starts_with("--silence="))
      f.silence = std::atof(value.data());
    else if (word.starts_with("--timeout="))
      f.timeout = std::atof(value.data());
    else
      f.words.emplace_back(word);
  }
  return f;
}

void train_rank(MpiWorld& world, const Flags& f) {
  Communicator& comm = world.communicator();
  const int cores = std::max(1, allowed_cores() / std::max(1, world.ranks_on_this_host()));
  Cpu cpu({.threads = cores});
  const SolverSpec solver = read_solver(f.words[0]);
  JobOptions options;
  options.data_roots = {f.words[1]};
  options.shards = shards_of(comm, f.strategy);
  options.after_step = [&world, step = std::int64_t{0}]() mutable {
    world.world().set_step(++step);  // the beats carry it: a rank that stands still is seen
    return Action::none;
  };
  Job<float, Cpu> job(cpu, solver, all_layers<float, Cpu>(), options,
                      make_strategy<float, Cpu>(comm, {.name = f.strategy}));
  Log log([](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); });
  if (comm.rank() == 0) {
    job.trainer().add(log);
    const std::string state =
        f.snapshot == "auto" ? newest_snapshot(solver.snapshot_prefix).state : f.snapshot;
    if (!state.empty()) {
      log.line("caffe.cpp:241", "Resuming from " + state);
      job.trainer().resume(state);
    }
  }
  job.trainer().run();
}

void train(MpiWorld& world, const Flags& f) {
  try {
    train_rank(world, f);
  } catch (const std::exception& e) {
    world.communicator().fail(e.what());  // the others hear why
    throw;
  }
  world.leave();
}

int run(int argc, char** argv) {
  const Flags f = read_flags(argc, argv);
  if (f.words.size() != 2 && f.words.size() != 5) {
    std::fputs("crema_mpi SOLVER DATA [ADDRESS RANK RANKS] [FLAGS]\n", stderr);
    return 2;
  }
  WorldOptions o;
  o.deadline = f.deadline;
  o.silence = f.silence;
  o.timeout = f.timeout;
  if (f.words.size() == 5) {
    const char* const secret = std::getenv("CREMA_SECRET");
    o.secret = secret ? secret : "";
    o.address = f.words[2];
    o.rank = std::stoi(f.words[3]);
    o.size = std::stoi(f.words[4]);
    MpiWorld world(o);
    train(world, f);
    return 0;
  }
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  {
    MpiWorld world(MPI_COMM_WORLD, o);
    train(world, f);
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

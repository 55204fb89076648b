// SPDX-License-Identifier: Apache-2.0
// The contract of all communicators over MPI, as a program of several processes:
//
//   mpiexec.mpich -n 4 mpi_contract                           MPI begun by the host
//   mpi_contract RANK SIZE ADDRESS SECRET                     MPI begun over a World, with no launcher
//   mpi_contract RANK SIZE ADDRESS SECRET absent              the last rank joins the World and never begins MPI
//
// Every world of 1 to SIZE ranks, and one of 2 processes with 2 ranks each, is formed anew for each case. Prints what failed, and "passed N" on rank 0.
#include <cstdio>
#include <cstdlib>

#include "contract_failures.hpp"
#include "crema/comm/hierarchy.hpp"
#include "crema/comm/mpi_world.hpp"

using namespace crema;

namespace {

WorldOptions quick_options(double timeout) {
  WorldOptions o;
  o.deadline = 20, o.beat = 0.1, o.silence = 10, o.timeout = timeout;
  return o;
}

/// Worlds of the first ranks of MPI_COMM_WORLD.
class Worlds {
 public:
  Worlds() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_), MPI_Comm_size(MPI_COMM_WORLD, &size_);
    for (int n = 1; n <= size_; ++n)
      MPI_Comm_split(MPI_COMM_WORLD, rank_ < n ? 0 : MPI_UNDEFINED, rank_, &first_.emplace_back());
  }
  int rank() const { return rank_; }
  int size() const { return size_; }

  std::vector<std::string> launch(int ranks, double timeout, bool check, const contract::Body& body) {
    if (rank_ >= ranks) return {};
    try {
      MpiWorld world(first_[static_cast<std::size_t>(ranks) - 1], quick_options(timeout), {.check = check});
      body(world.communicator());
      world.leave();
    } catch (const std::exception& e) {
      return {e.what()};
    }
    return {std::string()};
  }
  /// Two processes of two threads each: what the ranks of this process threw.
  std::vector<std::string> launch_threads(double timeout, bool check, const contract::Body& body) {
    std::vector<std::string> errors(2);
    launch(2, timeout, check, [&](Communicator& outer) {
      HierarchicalWorld ranks(outer, 2);
      ranks.run([&](Communicator& c) {
        try {
          body(c);
        } catch (const std::exception& e) {
          errors[static_cast<std::size_t>(c.rank() % 2)] = e.what();
          throw;
        }
      });
    });
    return rank_ < 2 ? errors : std::vector<std::string>();
  }
  /// Ranks that a case does not use wait here; gently, for the cores are few.
  void meet() {
    MPI_Request r;
    int flag = 0;
    MPI_Ibarrier(MPI_COMM_WORLD, &r);
    while (!flag) MPI_Test(&r, &flag, MPI_STATUS_IGNORE), usleep(500);
  }

 private:
  int rank_ = 0, size_ = 1;
  std::vector<MPI_Comm> first_;
};

int run_contract() {
  Worlds worlds;
  int passed = 0, failed = 0;
  contract::Subject subject;
  subject.by_rank = subject.lets_go = false;
  const auto attempt = [&](const contract::Case& c, int n, const char* how) {
    try {
      c.run(subject, n);
      ++passed;
    } catch (const std::exception& e) {
      ++failed;
      std::printf("rank %d: %s, %d ranks%s: %s\n", worlds.rank(), c.name, n, how, e.what());
      std::fflush(stdout);
    }
    worlds.meet();
  };
  const auto run = [&](const contract::Case& c, bool check) {
    subject.launch = [&](int ranks, double timeout, const contract::Body& body) {
      return worlds.launch(ranks, timeout, check, body);
    };
    for (int n = 1; n <= worlds.size(); ++n) attempt(c, n, check ? ", check" : "");
  };
  const auto run_threads = [&](const contract::Case& c, bool check) {
    subject.punctual = false;
    subject.launch = [&](int, double timeout, const contract::Body& body) {
      return worlds.launch_threads(timeout, check, body);
    };
    attempt(c, 4, ", as threads of 2 processes");
  };
  for (const bool check : {false, true})
    for (const contract::Case& c : contract::cases) run(c, check);
  for (const contract::Case& c : contract::failure_cases) run(c, true);
  for (const contract::Case& c : contract::cases) run_threads(c, false);
  for (const contract::Case& c : contract::failure_cases) run_threads(c, true);
  int all = 0;
  MPI_Allreduce(&failed, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  if (worlds.rank() == 0) std::printf("passed %d, failed %d\n", passed, all), std::fflush(stdout);
  return all == 0 ? 0 : 1;
}

/// A rank that does not come to MPI_Init: the others' constructors throw in time, and so does a second attempt.
int run_absent(WorldOptions o) {
  o.deadline = 3;
  const std::string absent = cat("rank ", o.size - 1, " did not come to MPI_Init within 3 s");
  if (o.rank == o.size - 1) {
    o.pmi = true;
    World world(o);
    int initialised = 1;
    MPI_Initialized(&initialised);
    contract::require(!initialised, "a World begins no MPI");
    for (const double end = monotonic_seconds() + 20; world.failure().empty() && monotonic_seconds() < end;)
      usleep(10000);
    contract::require(contract::has(world.failure(), absent), world.failure());
    return 0;
  }
  const double start = monotonic_seconds();
  const std::string e = contract::error_of([&] { MpiWorld world(o); });
  contract::require(e.starts_with(absent), cat("'", e, "' is not what was expected"));
  contract::require(monotonic_seconds() - start < 10, "the deadline");
  const std::string again = contract::error_of([&] { MpiWorld world(o); });
  contract::require(contract::has(again, "MPI "), cat("'", again, "' of the second attempt"));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc >= 5) {
      WorldOptions o = quick_options(20);
      o.rank = std::atoi(argv[1]), o.size = std::atoi(argv[2]), o.address = argv[3], o.secret = argv[4];
      if (argc == 6) {
        const int bad = run_absent(o);
        std::printf("rank %d: the host lives\n", o.rank);
        std::fflush(stdout);
        std::_Exit(bad);  // a thread waits in MPI_Init for ever
      }
      // A world that does not form leaves MPI as it was.
      WorldOptions nobody = o;
      nobody.deadline = 0.2, nobody.address = o.rank == 0 ? "127.0.0.1:0" : "127.0.0.1:1";
      const std::string e = contract::error_of([&] { MpiWorld world(nobody); });
      contract::require(contract::has(e, "within 0.2 s"), cat("'", e, "' of a world that nobody comes to"));
      MpiWorld world(o);
      for (const char* name : {"PMI_FD", "PMI_RANK", "PMI_SIZE"})
        contract::require(!std::getenv(name), cat(name, " stays in the environment"));
      const int bad = run_contract();
      world.leave();
      return bad;
    }
    int level = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    const int bad = run_contract();
    MPI_Finalize();
    return bad;
  } catch (const std::exception& e) {
    std::printf("failed: %s\n", e.what());
    std::fflush(stdout);
    std::_Exit(1);
  }
}

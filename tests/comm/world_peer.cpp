// SPDX-License-Identifier: Apache-2.0
// One rank as a process of its own, for tests that stop and kill it: all-reduces until told to end.
//
//   world_peer RANK SIZE ADDRESS SECRET STEPS [SILENCE]     STEPS 0: for ever; ADDRESS of rank 0 may have port 0
//
// Compiled with WORLD_PEER_MPI it all-reduces over MPI, without a launcher.
//
// Prints "address A" (rank 0), "world", "step N" now and then, and at the end "done" or "error WHY".
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#ifdef WORLD_PEER_MPI
#include "crema/comm/mpi_world.hpp"
#else
#include "crema/comm/world.hpp"
#endif

namespace {
#ifdef WORLD_PEER_MPI
using PeerWorld = crema::MpiWorld;
crema::World& world_of(PeerWorld& w) { return w.world(); }
#else
using PeerWorld = crema::World;
crema::World& world_of(PeerWorld& w) { return w; }
#endif

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}
}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  crema::WorldOptions o;
  o.rank = std::atoi(argv[1]);
  o.size = std::atoi(argv[2]);
  o.address = argv[3];
  o.secret = argv[4];
  o.beat = 0.1;
  o.silence = argc > 6 ? std::atof(argv[6]) : 2;
  o.deadline = 10;
  o.timeout = 15;
  const int steps = std::atoi(argv[5]);
  try {
    std::optional<crema::Listener> listener;
    if (o.rank == 0) {
      listener.emplace(o.address);
      say("address " + listener->address());
    }
    const auto world =
        listener ? std::make_unique<PeerWorld>(o, std::move(*listener)) : std::make_unique<PeerWorld>(o);
    say("world");
    std::vector<float> x(300000, 1);
    for (int step = 1; steps == 0 || step <= steps; ++step) {
      x.assign(x.size(), 1);
      world->communicator().all_reduce(std::span(x));
      if (x.back() != static_cast<float>(o.size)) throw crema::Error("a wrong sum");
      world_of(*world).set_step(step);
      if (step % 10 == 0) say(crema::cat("step ", step));
    }
    world->leave();
    say("done");
    return 0;
  } catch (const std::exception& e) {
    say(crema::cat("error ", e.what()));
    std::_Exit(1);  // MPI may wait for the lost, on a thread of its own
  }
}

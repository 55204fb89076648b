// SPDX-License-Identifier: Apache-2.0
// The schedule of comm/tcp_collective.hpp on simulated ranks (SimGrid SMPI), from a script:
//
//   smpicxx -O2 smpi_schedule.cpp -o smpi_schedule
//   smpirun -np 16 -platform star.xml -hostfile hosts ./smpi_schedule script
//
// A line is "sleep SECONDS", "reduce BYTES" (start a reduce-scatter), "gather BYTES" (start an all-gather), "await N" (for
// what was started Nth, from 0), "small BYTES" (everybody's bytes to everybody, and waits for all that was started) or
// "wait" (for all that was started). Rank 0 prints the slowest rank's seconds. Numbers are not added up and not copied: the time is the network's.
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

struct Rank {
  int rank = 0, size = 0, tag = 0;
  char *out = nullptr, *in = nullptr;
  std::vector<std::vector<MPI_Request>> open;

  /// Sends `to_each` bytes to every other rank and gets as much, each beginning with the next one.
  void exchange(double to_each) {
    const int n = static_cast<int>(to_each);
    open.emplace_back();
    for (int k = 1; k < size; ++k) {
      const int to = (rank + k) % size, from = (rank + size - k) % size;
      MPI_Request r[2];
      MPI_Irecv(in, n, MPI_BYTE, from, tag, MPI_COMM_WORLD, &r[0]);
      MPI_Isend(out, n, MPI_BYTE, to, tag, MPI_COMM_WORLD, &r[1]);
      open.back().insert(open.back().end(), {r[0], r[1]});
    }
    ++tag;
  }
  void wait(std::vector<MPI_Request>& requests) {
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  }
  void wait() {
    for (auto& requests : open) wait(requests);
    open.clear();
  }
};

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  Rank me;
  MPI_Comm_rank(MPI_COMM_WORLD, &me.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &me.size);
  std::ifstream script(argv[1]);
  std::vector<std::pair<std::string, double>> lines;
  double largest = 1;
  for (std::string word; script >> word;) {
    double number = 0;
    if (word != "wait") script >> number;
    lines.emplace_back(word, number);
    if (word != "sleep" && word != "await") largest = std::max(largest, number);
  }
  me.out = static_cast<char*>(SMPI_SHARED_MALLOC(static_cast<std::size_t>(largest)));
  me.in = static_cast<char*>(SMPI_SHARED_MALLOC(static_cast<std::size_t>(largest)));
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = 1;  // all ranks begin at one simulated moment
  usleep(static_cast<useconds_t>((start - MPI_Wtime()) * 1e6));
  for (const auto& [word, number] : lines) {
    if (word == "sleep") usleep(static_cast<useconds_t>(number * 1e6));
    if (word == "reduce" || word == "gather") me.exchange(number / me.size);
    if (word == "small") me.exchange(number);
    if (word == "await") me.wait(me.open.at(static_cast<std::size_t>(number)));
    if (word == "wait" || word == "small") me.wait();
  }
  double seconds = MPI_Wtime() - start, slowest = 0;
  MPI_Reduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  if (me.rank == 0) std::printf("%.9f\n", slowest);
  SMPI_SHARED_FREE(me.out);
  SMPI_SHARED_FREE(me.in);
  MPI_Finalize();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Synchronous training steps over slower links, and what a model of them needs: times of each layer, gradients, update.
//
//   step_bench NET [--batch N] [--threads T] [--bucket BYTES] [--rounds R] [--steps S] LATENCY:GBIT...
//       two ranks as two threads of this process
//   step_bench NET ... --rank R --size N --address HOST:PORT --secret WORDS LATENCY:GBIT...
//       one rank of a world of processes over TCP
//   step_bench NET ... --alone
//       one rank without others: the step to compare with
//
// LATENCY in microseconds and GBIT are those of the delaying communicator; GBIT 0 leaves the bandwidth to the link that
// there is. Each round measures the layers, the exchange alone and S steps over each link, in turn. Rank 0
// prints JSON: medians over S steps, one for each round; "waited" is the share of the time that a rank was ready to run and
// something else had its processor.
#include <sys/prctl.h>

#include <cstdio>

#include "crema/caffe/import.hpp"
#include "crema/comm/self.hpp"
#include "crema/comm/threads.hpp"
#include "crema/comm/world.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "delaying.hpp"
#include "profile.hpp"

using namespace crema;
using namespace crema_bench;

namespace {

struct Flags {
  std::string net;
  std::int64_t batch = 0;
  int threads = 1, rounds = 5, steps = 5;
  std::size_t bucket = std::size_t{1} << 20;
  bool alone = false;
  WorldOptions world = {.rank = -1, .timeout = 300};
  std::vector<SlowLink> links;
};

/// The steps of one rank over a link, again and again.
class Steps {
 public:
  Steps(Bench& bench, Communicator& comm, SlowLink link, std::size_t bucket)
      : bench_(bench), slow_(comm, link), strategy_(slow_, {.bucket_bytes = bucket}) {}
  double median(int n) {
    Replica<float, Cpu> r{bench_.cpu, bench_.net, *bench_.solver, bench_.source};
    r.first_sample = slow_.rank() * bench_.source.batch();
    strategy_.begin(r);
    std::vector<double> seconds;
    for (int i = 0; i <= n; ++i, ++r.iteration) {
      if (i == 0) slow_.barrier();
      const double start = monotonic_seconds();
      strategy_.run_step(r);
      strategy_.agree(Action::none);
      if (i > 0) seconds.push_back(monotonic_seconds() - start);  // the first one finds cold caches
    }
    strategy_.end(r);
    slow_.barrier();
    return crema_bench::median(seconds);
  }

 private:
  Bench& bench_;
  DelayingCommunicator slow_;
  Synchronous<float, Cpu> strategy_;
};

/// Seconds that this thread was ready to run and another had its processor.
double waited() {
  double ran = 0, ready = 0;
  if (std::FILE* f = std::fopen("/proc/thread-self/schedstat", "r")) {
    if (std::fscanf(f, "%lf %lf", &ran, &ready) != 2) ready = 0;
    std::fclose(f);
  }
  return ready * 1e-9;
}

std::string run_rank(const Flags& f, Communicator& comm) {
  prctl(PR_SET_TIMERSLACK, 1000UL);
  Bench bench(f.net, f.batch, f.threads);
  Profile profile(bench, comm, f.bucket);
  std::vector<std::unique_ptr<Steps>> links;
  for (const SlowLink& l : f.links) links.push_back(std::make_unique<Steps>(bench, comm, l, f.bucket));
  std::vector<std::vector<double>> seconds(links.size());
  const double begin = monotonic_seconds(), waited_before = waited();
  for (int round = 0; round < f.rounds; ++round) {
    profile.measure(f.steps);
    for (std::size_t k = 0; k < links.size(); ++k) seconds[k].push_back(links[k]->median(f.steps));
  }
  double foreign[] = {(waited() - waited_before) / (monotonic_seconds() - begin)};
  comm.all_reduce(std::span<double>(foreign), Reduction::max);
  std::string cases;
  for (std::size_t k = 0; k < links.size(); ++k) {
    comm.all_reduce(std::span<double>(seconds[k]), Reduction::max);
    cases += cat(k == 0 ? "" : ",\n  ", "{\"latency\": ", f.links[k].latency,
                 ", \"gbit\": ", f.links[k].bandwidth * 8e-9, ", \"seconds\": ", json(seconds[k]), "}");
  }
  return cat("{\"net\": \"", f.net, "\", \"batch\": ", bench.source.batch(), ", \"ranks\": ", comm.size(),
             ", \"threads\": ", f.threads, ", \"communicator\": \"", comm.name(), "\", \"isa\": \"",
             name_of(bench.cpu.isa()), "\", \"bucket\": ", f.bucket, ", \"waited\": ", json(foreign[0]),
             ",\n ", profile.json(), ",\n \"cases\": [", cases, "]}");
}

Flags parse(int argc, char** argv) {
  Flags f;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    const auto number = [&](auto& into) {
      if (i + 1 == argc || !parse_number(argv[++i], into)) throw SpecError(cat(a, " wants a number"));
    };
    const auto word = [&](std::string& into) {
      if (i + 1 == argc) throw SpecError(cat(a, " wants a word"));
      into = argv[++i];
    };
    double latency = 0, gbit = 0;
    if (a == "--batch")
      number(f.batch);
    else if (a == "--threads")
      number(f.threads);
    else if (a == "--bucket")
      number(f.bucket);
    else if (a == "--rounds")
      number(f.rounds);
    else if (a == "--steps")
      number(f.steps);
    else if (a == "--rank")
      number(f.world.rank);
    else if (a == "--size")
      number(f.world.size);
    else if (a == "--address")
      word(f.world.address);
    else if (a == "--secret")
      word(f.world.secret);
    else if (a == "--alone")
      f.alone = true;
    else if (std::sscanf(argv[i], "%lf:%lf", &latency, &gbit) == 2)
      f.links.push_back({latency * 1e-6, gbit * 1.25e8});
    else if (f.net.empty())
      f.net = a;
    else
      throw SpecError(cat("'", a, "' is neither a flag nor LATENCY:GBIT"));
  }
  if (f.net.empty()) throw SpecError("which net?");
  return f;
}

}  // namespace

int main(int argc, char** argv) try {
  const Flags f = parse(argc, argv);
  std::string answer;
  if (f.alone) {
    SelfCommunicator self;
    answer = run_rank(f, self);
  } else if (f.world.rank >= 0) {
    World world(f.world);
    answer = run_rank(f, world.communicator());
    world.leave();
  } else {
    ThreadWorld world(2, 300);
    world.run([&](Communicator& comm) {
      std::string own = run_rank(f, comm);
      if (comm.rank() == 0) answer = std::move(own);
    });
  }
  if (f.world.rank <= 0) std::puts(answer.c_str());
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "step_bench: %s\n", e.what());
  return 1;
}

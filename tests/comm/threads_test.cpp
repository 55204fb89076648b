// SPDX-License-Identifier: Apache-2.0
#include "crema/comm/threads.hpp"

#include "catch.hpp"
#include "contract_failures.hpp"
#include "crema/comm/self.hpp"

using namespace crema;

namespace {

std::vector<std::string> launch(int ranks, double timeout, const contract::Body& body) {
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  ThreadWorld world(ranks, timeout);
  try {
    world.run([&](Communicator& comm) {
      try {
        body(comm);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(comm.rank())] = e.what();
        throw;
      }
    });
  } catch (const std::exception&) {
  }
  return errors;
}
std::vector<std::string> alone(int, double timeout, const contract::Body& body) {
  SelfCommunicator comm(timeout);
  try {
    body(comm);
  } catch (const std::exception& e) {
    return {e.what()};
  }
  return {std::string()};
}

void run_contract(const contract::Subject& subject, std::initializer_list<int> counts) {
  for (const auto& list : {std::span<const contract::Case>(contract::cases),
                           std::span<const contract::Case>(contract::failure_cases)})
    for (const contract::Case& c : list)
      for (const int ranks : counts) {
        INFO(c.name << ", " << ranks << " ranks");
        CHECK_NOTHROW(c.run(subject, ranks));
      }
}

}  // namespace

TEST_CASE("threads: the contract of all communicators") {
  contract::Subject subject;
  subject.launch = launch;
  run_contract(subject, {1, 2, 3, 4});
}

TEST_CASE("self: the contract of all communicators") {
  contract::Subject subject;
  subject.launch = alone;
  run_contract(subject, {1});
}

TEST_CASE("threads: the exception that began it is the one that comes out") {
  ThreadWorld world(3);
  CHECK_THROWS_AS(world.run([](Communicator& comm) {
    std::vector<float> x(1000);
    comm.all_reduce(std::span(x));
    if (comm.rank() == 2) throw DataError("bad sample");
    for (;;) comm.all_reduce(std::span(x));
  }),
                  DataError);
  CHECK(world.communicator(0).failure() == "rank 2: bad sample");
  CHECK_THROWS_AS(ThreadWorld(0), SpecError);
}

TEST_CASE("threads: sums of one chunk and of many, several under way, one after the other") {
  ThreadWorld world(3);
  world.run([](Communicator& comm) {
    std::vector<std::vector<std::int32_t>> data;
    for (const std::size_t n : {1u, 50001u, 1u, 10u}) data.emplace_back(n);
    for (int turn = 0; turn < 1000; ++turn) {
      std::vector<Ticket> tickets;
      for (auto& d : data) {
        std::fill(d.begin(), d.end(), turn + comm.rank());
        tickets.push_back(comm.start_all_reduce(std::span(d)));
      }
      for (std::size_t k = 0; k < data.size(); ++k) {
        comm.wait(tickets[k]);
        for (const int x : data[k])
          if (x != 3 * turn + 3) throw Error(cat("a sum of ", data[k].size(), " in turn ", turn));
      }
    }
  });
}

TEST_CASE("threads: nothing is kept of what is done") {
  const double begin = monotonic_seconds();
  SelfCommunicator self;
  const auto team = std::make_shared<detail::ThreadTeam>(2);
  ThreadCommunicator first(team, 0, 5), second(team, 1, 5);
  std::vector<float> none;
  for (int k = 0; k < 200'000; ++k) {
    self.barrier(), self.all_reduce(std::span(none));
    first.start_barrier(), second.start_barrier();  // nobody asks for these
  }
  CHECK(monotonic_seconds() - begin < 20);  // 0.2 s; minutes if each looked through all before it
}

TEST_CASE("threads: who leaves after what it had started is done breaks nobody, waited for or not") {
  const auto team = std::make_shared<detail::ThreadTeam>(2);
  ThreadCommunicator stays(team, 0, 5);
  std::vector<float> a(100, 1), b(100, 2), c(100);
  {
    ThreadCommunicator leaves(team, 1, 5);
    stays.start_all_reduce(std::span(a));
    leaves.start_all_reduce(std::span(b));
    stays.progress();
    leaves.start_send(std::span<const float>(b), 0, 1);
  }
  stays.receive(std::span(c), 1, 1);
  CHECK(c == std::vector<float>(100, 3));
}

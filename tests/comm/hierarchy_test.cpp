// SPDX-License-Identifier: Apache-2.0
#include "crema/comm/hierarchy.hpp"

#include "catch.hpp"
#include "contract_failures.hpp"
#include "crema/comm/self.hpp"
#include "worlds.hpp"

using namespace crema;

namespace {

/// Processes (threads of this one, each with a World of its own) of several ranks; what each rank threw.
std::vector<std::string> in_hierarchy(int processes, int here, double timeout, const contract::Body& body) {
  std::vector<std::string> errors(static_cast<std::size_t>(processes * here));
  in_world(
      processes,
      [&](World& w) {
        HierarchicalWorld ranks(w.communicator(), here);
        ranks.run([&](Communicator& c) {
          try {
            body(c);
          } catch (const std::exception& e) {
            errors[static_cast<std::size_t>(c.rank())] = e.what();
            throw;
          }
        });
      },
      timeout);
  return errors;
}

}  // namespace

TEST_CASE("hierarchy: the contract of all communicators, threads within tcp processes") {
  for (const auto& [processes, here] : {std::pair{1, 2}, std::pair{2, 1}, std::pair{2, 2}, std::pair{2, 3}}) {
    contract::Subject subject;
    subject.by_rank = subject.punctual = false;
    subject.most_bytes = 1u << 20;
    const int p = processes, h = here;
    subject.launch = [p, h](int, double timeout, const contract::Body& body) {
      return in_hierarchy(p, h, timeout, body);
    };
    for (const auto& list : {std::span<const contract::Case>(contract::cases),
                             std::span<const contract::Case>(contract::failure_cases)})
      for (const contract::Case& c : list) {
        INFO(c.name << ", " << p << " processes of " << h << " ranks");
        CHECK_NOTHROW(c.run(subject, p * h));
      }
  }
}

TEST_CASE("hierarchy: each rank's part and rank are those of a flat world") {
  const auto errors = in_hierarchy(2, 2, 20, [](Communicator& c) {
    std::vector<std::int32_t> x(1003, 1 + c.rank());
    c.reduce_scatter(std::span(x));
    const Part p = part_of(x.size(), 4, c.rank());
    for (std::size_t i = p.first; i < p.first + p.count; ++i)
      contract::require(x[i] == 10, cat("element ", i));
    c.all_gather(std::span(x));
    for (std::size_t i = 0; i < x.size(); ++i) contract::require(x[i] == 10, cat("gathered element ", i));
  });
  CHECK(errors == std::vector<std::string>(4));
}

TEST_CASE("hierarchy: processes that bring different numbers of ranks are told so") {
  const auto errors = in_world(2, [](World& w) { HierarchicalWorld ranks(w.communicator(), 1 + w.rank()); });
  for (const std::string& e : errors) CHECK(e.find("processes with 1 to 2 ranks") != std::string::npos);
}

TEST_CASE("hierarchy: a rank that does not come to the end is named at the deadline") {
  SelfCommunicator alone(0.2);
  HierarchicalWorld ranks(alone, 3);
  std::string error;
  try {
    ranks.run([](Communicator& c) {
      c.barrier();
      if (c.rank() == 1) usleep(1'000'000);
    });
  } catch (const CommError& e) {
    error = e.what();
  }
  INFO(error);
  CHECK(error.starts_with("rank 1 did not come to the end within 0.2 s"));
}

// SPDX-License-Identifier: Apache-2.0
// What the tcp communicator promises beyond the contract of all: the order of its sums, and its own ways.
#include "crema/comm/tcp.hpp"

#include "catch.hpp"
#include "contract_failures.hpp"
#include "worlds.hpp"

using namespace crema;

namespace {
/// Numbers whose sum depends on the order.
float number(int rank, std::size_t i) {
  const auto h = (i * 2654435761u + static_cast<std::size_t>(rank) * 40503u) % 1000003u;
  return (static_cast<float>(h) - 500000.0f) * (rank % 2 == 0 ? 1.0f : 1e-4f);
}
std::vector<float> numbers(int rank, std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = number(rank, i);
  return x;
}
const std::vector<std::string> no_errors(int n) {
  return std::vector<std::string>(static_cast<std::size_t>(n));
}
}  // namespace

TEST_CASE("tcp: the contract of all communicators") {
  contract::Subject subject;
  subject.launch = [](int ranks, double timeout, const contract::Body& body) {
    return in_world(
        ranks, [&](World& w) { body(w.communicator()); }, timeout);
  };
  for (const auto& list : {std::span<const contract::Case>(contract::cases),
                           std::span<const contract::Case>(contract::failure_cases)})
    for (const contract::Case& c : list)
      for (const int ranks : {1, 2, 3, 4}) {
        INFO(c.name << ", " << ranks << " ranks");
        CHECK_NOTHROW(c.run(subject, ranks));
      }
}

TEST_CASE("tcp: sums are added by rank, whatever the count") {
  const int n = GENERATE(2, 3, 4);
  const auto errors = in_world(n, [n](World& w) {
    for (const std::size_t count : {0u, 1u, 15u, 16u, 17u, 1000u, 5000u, 40000u, 100000u, 300001u}) {
      std::vector<float> x = numbers(w.rank(), count), expected(count);
      for (std::size_t i = 0; i < count; ++i) {
        expected[i] = number(0, i);
        for (int r = 1; r < n; ++r) expected[i] += number(r, i);
      }
      std::vector<float> part = x;
      w.communicator().all_reduce(std::span(x));
      if (x != expected) throw Error(cat("all_reduce of ", count));
      w.communicator().reduce_scatter(std::span(part));
      const Part p = part_of(count, n, w.rank());
      if (!std::equal(part.begin() + static_cast<std::ptrdiff_t>(p.first),
                      part.begin() + static_cast<std::ptrdiff_t>(p.first + p.count),
                      expected.begin() + static_cast<std::ptrdiff_t>(p.first)))
        throw Error(cat("reduce_scatter of ", count));
    }
  });
  CHECK(errors == no_errors(n));
}

TEST_CASE("tcp: bfloat16 is rounded once") {
  const auto errors = in_world(3, [](World& w) {
    for (const std::size_t count : {100u, 200000u}) {
      std::vector<BFloat16> x(count);
      for (std::size_t i = 0; i < count; ++i) x[i] = BFloat16(number(w.rank(), i));
      w.communicator().all_reduce(std::span(x));
      for (std::size_t i = 0; i < count; ++i) {
        float sum = 0;
        for (int r = 0; r < 3; ++r) sum += float{BFloat16(number(r, i))};
        if (x[i].bits != BFloat16(sum).bits) throw Error(cat("element ", i, " of ", count));
      }
    }
  });
  CHECK(errors == no_errors(3));
}

TEST_CASE("tcp: broadcast, gather and many tickets at once") {
  const auto errors = in_world(4, [](World& w) {
    Communicator& c = w.communicator();
    for (const std::size_t count : {1u, 70u, 20000u, 200003u}) {
      for (int root = 0; root < 4; ++root) {
        std::vector<float> x = numbers(w.rank(), count);
        c.broadcast(std::span(x), root);
        if (x != numbers(root, count)) throw Error(cat("broadcast of ", count));
      }
      std::vector<float> all(count, -1);
      const Part p = part_of(count, 4, w.rank());
      const std::vector<float> truth = numbers(7, count);
      for (std::size_t i = p.first; i < p.first + p.count; ++i) all[i] = truth[i];
      c.all_gather(std::span(all));
      if (all != truth) throw Error(cat("all_gather of ", count));
    }
    std::vector<std::vector<float>> many;
    std::vector<Ticket> tickets;
    for (std::size_t k = 0; k < 20; ++k) many.emplace_back(k * 3000, 1.0f);
    for (auto& x : many) tickets.push_back(c.start_all_reduce(std::span(x)));
    for (const Ticket t : tickets) c.wait(t);
    for (const auto& x : many)
      for (const float v : x)
        if (v != 4) throw Error("many tickets");
    c.barrier();
  });
  CHECK(errors == no_errors(4));
}

TEST_CASE("tcp: messages pass collectives, long ones wait for their receiver") {
  const auto errors = in_world(2, [](World& w) {
    Communicator& c = w.communicator();
    const int other = 1 - w.rank();
    std::vector<float> sum(100000, 1), big = numbers(w.rank(), 300000), got(300000), small(10), own{1, 2, 3},
                                       back(3);
    if (w.rank() == 0) {
      const Ticket reduce = c.start_all_reduce(std::span(sum));
      const Ticket send = c.start_send(std::span<const float>(big), other, 5);
      c.send(std::span<const float>(big).first(10), other, 6);
      c.wait(send);
      c.wait(reduce);
    } else {
      c.receive(std::span(small), other, 6);
      while (!c.probe(any_rank, 5)) {
      }
      const std::optional<Incoming> m = c.probe(any_rank, 5);
      if (m->from != 0 || m->bytes != 1200000) throw Error("probe");
      c.receive(std::span(got), other, 5);
      if (got != numbers(0, 300000)) throw Error("received");
      c.all_reduce(std::span(sum));
    }
    c.send(std::span<const float>(own), w.rank(), 1);
    c.receive(std::span(back), w.rank(), 1);
    if (back != own || sum[99999] != 2) throw Error("own message");
  });
  CHECK(errors == no_errors(2));
}

TEST_CASE("tcp: calls that do not match break all ranks, and both are named") {
  const auto errors = in_world(3, [](World& w) {
    std::vector<float> x(w.rank() == 1 ? 11 : 10);
    w.communicator().all_reduce(std::span(x));
    w.communicator().barrier();
  });
  for (const std::string& e : errors) {
    CHECK(e == errors[0]);
    CHECK(e.find("11 float32") != std::string::npos);
    CHECK(e.find("10 float32") != std::string::npos);
    CHECK(e.find("rank 1") != std::string::npos);
  }
}

TEST_CASE("tcp: who is late is named, and an abort says why, everywhere") {
  const auto late = in_world(3, [](World& w) {
    std::vector<float> x(10);
    if (w.rank() == 2) {
      while (w.failure().empty()) detail::poll_for(nullptr, 0, 0.01);
      throw Error(w.failure());
    }
    w.communicator().wait(w.communicator().start_all_reduce(std::span(x)), 0.3);
  });
  for (const std::string& e : late)
    CHECK(e.starts_with("rank 2 did not do its part of all_reduce (sum) of 10 float32"));

  const auto aborted = in_world(3, [](World& w) {
    std::vector<float> x(1000000);
    if (w.rank() == 1) {
      w.communicator().fail("no more data");
    }
    w.communicator().all_reduce(std::span(x));
  });
  for (const std::string& e : aborted) CHECK(e == "rank 1: no more data");
}

TEST_CASE("tcp: a message to a rank that was lost meanwhile is refused with its name") {
  int ends[4];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends + 2) == 0);
  std::vector<detail::Descriptor> links(2), messages(2);
  links[1] = detail::Descriptor(ends[0]), messages[1] = detail::Descriptor(ends[2]);
  const detail::Descriptor theirs(ends[1]);
  TcpCommunicator comm(0, 2, 5, std::move(links), std::move(messages), nullptr);
  ::close(ends[3]);
  comm.progress();  // it is lost, and nobody needs it
  const float x[] = {1};
  std::string error;
  try {
    comm.start_send(std::span<const float>(x), 1, 0);
  } catch (const CommError& e) {
    error = e.what();
  }
  CHECK(error.starts_with("rank 1 was lost"));
}

// SPDX-License-Identifier: Apache-2.0
// The second half of the contract: what a Communicator does when something is wrong. See contract.hpp.
#pragma once

#include <unistd.h>

#include "contract.hpp"

namespace contract {

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// What a call threw; "" if it did not.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const CommError& e) {
    return e.message();
  }
  return {};
}
/// After a failure: every later call says the same, and so does failure().
inline void require_broken(Communicator& c, const std::string& why) {
  std::vector<float> x(10);
  const auto same = [&](const std::string& e, const char* call) {
    require(e == why, cat("after '", why, "' ", call, " says '", e, "'"));
  };
  same(c.failure(), "failure()");
  same(error_of([&] { c.progress(); }), "progress()");
  same(error_of([&] { c.start_all_reduce(std::span(x)); }), "start_all_reduce()");
  same(error_of([&] { c.start_send(std::span<const float>(x), 0, 1); }), "start_send()");
  same(error_of([&] { c.wait(Ticket(1)); }), "wait()");
  same(error_of([&] { c.done(Ticket(1)); }), "done()");
  same(error_of([&] { c.probe(any_rank, 1); }), "probe()");
}
/// Runs a body that all ranks have to fail; each error holds all these parts.
inline void run_bad(const Subject& s, int ranks, double timeout, const Body& body,
                    const std::vector<std::string>& parts) {
  for (const std::string& e : s.launch(ranks, timeout, body)) {
    require(!e.empty(),
            cat("no error, where all ranks have to report: ", parts.empty() ? std::string() : parts[0]));
    for (const std::string& part : parts) require(has(e, part), cat("'", e, "' does not say '", part, "'"));
  }
}
/// Lets a communicator learn of a failure elsewhere; throws it. Sleeps for a while first.
inline void learn(Communicator& c, double seconds = 0) {
  usleep(static_cast<useconds_t>(seconds * 1e6));
  for (const double end = monotonic_seconds() + 20; monotonic_seconds() < end; usleep(1000)) c.progress();
  throw Error(cat("rank ", c.rank(), " learnt of no failure in 20 s"));
}

/// Wrong arguments break nothing.
inline void arguments(const Subject& s, int ranks) {
  run_good(s, ranks, [](Communicator& c) {
    std::vector<float> x(10);
    const std::span<const float> message(x);
    const std::string rank = cat("rank ", c.rank());
    require(has(error_of([&] { c.start_broadcast(std::span(x), c.size()); }), rank), "a root that is none");
    require(has(error_of([&] { c.start_broadcast(std::span(x), -1); }), rank), "a negative root");
    require(has(error_of([&] { c.start_send(message, c.size(), 1); }), rank), "a receiver that is none");
    require(has(error_of([&] { c.start_receive(std::span(x), -2, 1); }), rank), "a sender that is none");
    require(has(error_of([&] { c.start_send(message, 0, -1); }), rank), "a negative tag");
    require(has(error_of([&] { c.probe(c.size(), 1); }), rank), "a probe of no rank");
    require(has(error_of([&] { c.probe(any_rank, -1); }), rank), "a probe of a negative tag");
    if (const int most = c.most_tag(); most < std::numeric_limits<int>::max()) {
      require(has(error_of([&] { c.start_send(message, 0, most + 1); }), rank), "a tag that is too large");
      require(has(error_of([&] { c.probe(0, most + 1); }), rank), "a probe of a tag that is too large");
    }
    const Ticket sent = c.start_send(message, (c.rank() + 1) % c.size(), c.most_tag());
    std::vector<float> in(10);
    c.receive(std::span(in), (c.rank() + c.size() - 1) % c.size(), c.most_tag());
    c.wait(sent);
    require(c.failure().empty(), "no failure");
    c.all_reduce(std::span(x));
    require(c.rank() >= 0 && c.rank() < c.size() && !c.name().empty() && c.timeout() > 0,
            "what it says of itself");
  });
}

/// Rank 1 calls something else than the others, after a good call.
inline void mismatch(const Subject& s, int ranks, const Body& usual, const Body& other,
                     const std::vector<std::string>& parts) {
  std::vector<std::string> all = parts;
  all.insert(all.end(), {"rank 1", "rank 0"});
  if (ranks > 2) all.pop_back();  // rank 1 may have met another
  run_bad(
      s, ranks, s.timeout,
      [&](Communicator& c) {
        std::vector<float> good(1000);
        c.all_reduce(std::span(good));
        const std::string e = error_of([&] {
          (c.rank() == 1 ? other : usual)(c);
          c.barrier();  // at the latest
        });
        require(!e.empty(), "no error");
        require_broken(c, e);
        throw CommError(e);
      },
      all);
}
inline void mismatches(const Subject& s, int ranks) {
  if (ranks == 1) return;
  const auto reduce = [](std::size_t n, Reduction r) {
    return [n, r](Communicator& c) {
      std::vector<float> x(n);
      c.all_reduce(std::span(x), r);
    };
  };
  const Body hundred = reduce(100, Reduction::sum);
  mismatch(s, ranks, hundred, reduce(101, Reduction::sum), {"100 float32", "101 float32"});
  mismatch(s, ranks, hundred, reduce(100, Reduction::max), {"sum", "max"});
  mismatch(s, ranks, hundred,
           [](Communicator& c) {
             std::vector<std::int32_t> x(100);
             c.all_reduce(std::span(x));
           },
           {"float32", "int32"});
  mismatch(s, ranks, hundred, [](Communicator& c) { c.barrier(); }, {"all_reduce", "barrier"});
  mismatch(s, ranks, hundred,
           [](Communicator& c) {
             std::vector<float> x(100);
             c.reduce_scatter(std::span(x));
           },
           {"all_reduce", "reduce_scatter"});
  const auto cast = [](int root) {
    return [root](Communicator& c) {
      std::vector<float> x(100);
      c.broadcast(std::span(x), root);
    };
  };
  mismatch(s, ranks, cast(0), cast(1), {"broadcast"});
  run_bad(s, ranks, s.timeout,  // each waits for the next
          [](Communicator& c) {
            std::vector<float> x(100);
            c.all_reduce(std::span(x));
            c.broadcast(std::span(x), (c.rank() + 1) % c.size());
          },
          {"called broadcast of 100 float32 from rank"});
}

/// A message that does not fit its receive.
inline void wrong_message(const Subject& s, int ranks) {
  for (const std::size_t n : {4u, 100000u})
    run_bad(s, ranks, s.timeout,
            [&](Communicator& c) {
              const int last = c.size() - 1;
              const auto out = std::make_shared<std::vector<float>>(n),
                         in = std::make_shared<std::vector<float>>(n + 1);  // MPI may read and write on: kept
              const Ticket t =
                  c.rank() == 0 ? c.start_send(std::span<const float>(*out), last, 2, out) : Ticket();
              if (c.rank() == last) c.wait(c.start_receive(std::span(*in), 0, 2, in));
              c.wait(t);
              learn(c);
            },
            {"rank 0 sent", cat("rank ", ranks - 1)});
}

/// One rank does not come: the others' waits end in time and name it.
inline void deadline(const Subject& s, int ranks) {
  if (ranks == 1) return;
  const double limit = 0.3, margin = 5;
  const int late = ranks - 1;
  const std::string name = cat("rank ", late);
  using Floats = std::shared_ptr<std::vector<float>>;
  const auto waits = [&](const std::function<Ticket(Communicator&, const Floats&)>& start) {
    run_bad(s, ranks, s.timeout,
            [&](Communicator& c) {
              const auto x = std::make_shared<std::vector<float>>(1000);
              c.all_reduce(std::span(*x));
              if (c.rank() == late) learn(c, 2 * limit);
              const double begin = monotonic_seconds();
              const std::string e = error_of([&] { c.wait(start(c, x), limit); });
              const double took = monotonic_seconds() - begin;
              require(!e.empty() && took < limit + margin, cat("a wait of ", limit, " s took ", took, " s"));
              require_broken(c, e);
              throw CommError(e);
            },
            {name, "(rank ", " waited)"});  // who is late, and for whom
  };
  waits(
      [](Communicator& c, const Floats& x) { return c.start_all_reduce(std::span(*x), Reduction::sum, x); });
  waits([](Communicator& c, const Floats& x) { return c.start_broadcast(std::span(*x), c.size() - 1, x); });
  waits([](Communicator& c, const Floats&) { return c.start_barrier(); });
  waits([](Communicator& c, const Floats& x) { return c.start_receive(std::span(*x), c.size() - 1, 1, x); });
}
/// A transfer that goes on when its time is over.
inline void late_transfer(const Subject& s, int ranks) {
  if (ranks == 1) return;
  for (const std::string& e : s.launch(ranks, s.timeout, [](Communicator& c) {
         auto x = std::make_shared<std::vector<float>>(std::size_t{8} << 20);
         const std::span<float> data(*x);
         c.barrier();
         c.wait(c.start_all_reduce(data, Reduction::sum, std::move(x)), 0.001);
         c.barrier();
       })) {
    require(!e.empty() || !s.punctual, "32 MB in a millisecond");
    require(e.empty() || has(e, "within 0"), cat("'", e, "' tells no time"));
  }
}
/// The same with the communicator's own limit, on a single rank too.
inline void own_timeout(const Subject& s, int ranks) {
  run_bad(s, ranks, 0.3,
          [](Communicator& c) {
            const auto x = std::make_shared<std::vector<float>>(10);
            if (c.rank() == 0) c.wait(c.start_receive(std::span(*x), c.size() - 1, 1, x));
            learn(c);
          },
          {cat("rank ", ranks - 1)});
}

/// An all_reduce that may be under way when the communicator breaks: its memory is given into keeping.
inline void kept_all_reduce(Communicator& c, std::size_t n) {
  auto x = std::make_shared<std::vector<float>>(n);
  const std::span<float> data(*x);
  c.wait(c.start_all_reduce(data, Reduction::sum, std::move(x)));
}
/// fail() on one rank ends the waits of all others, with its words; an exception does too.
inline void aborts(const Subject& s, int ranks) {
  run_bad(s, ranks, s.timeout,
          [](Communicator& c) {
            kept_all_reduce(c, 300000);
            if (c.rank() == c.size() - 1) {
              usleep(20000);
              c.fail("the disk is full");
              c.fail("and more");
              require_broken(c, c.failure());
              throw CommError(c.failure());
            }
            const std::string e = error_of([&] { kept_all_reduce(c, 300000); });
            require_broken(c, e);
            throw CommError(e);
          },
          {cat("rank ", ranks - 1), "the disk is full"});
  const std::vector<std::string> errors = s.launch(ranks, s.timeout, [](Communicator& c) {
    for (int k = 0; k < 4; ++k) kept_all_reduce(c, 300000);
    if (c.rank() == c.size() - 1) throw DataError("a bad sample");
    for (;;) kept_all_reduce(c, 300000);
  });
  for (const std::string& e : errors)
    require(has(e, cat("rank ", ranks - 1)) || has(e, "a bad sample"), cat("'", e, "' names no culprit"));
}

/// What was started when it broke keeps its memory as long as the communicator.
inline void keeps(const Subject& s, int ranks) {
  if (ranks == 1) return;
  run_bad(s, ranks, s.timeout,
          [](Communicator& c) {
            if (c.rank() == c.size() - 1) learn(c, 0.1);
            auto owner = std::make_shared<std::vector<float>>(1000);
            const std::weak_ptr<std::vector<float>> watched = owner;
            const std::span<float> data(*owner);
            const Ticket t = c.start_all_reduce(data, Reduction::sum, std::move(owner));
            require(!watched.expired(), "what is started is kept");
            const std::string e = error_of([&] { c.wait(t, 0.05); });
            require(!watched.expired(), "after a failure what was started is kept");
            throw CommError(e);
          },
          {cat("rank ", ranks - 1)});
}
/// After fail(), as after an error, what was started may go: here it gets other values, and nobody sees to it.
inline void lets_go(const Subject& s, int ranks) {
  for (int turn = 0; s.lets_go && turn < 5; ++turn)
    run_bad(s, ranks, s.timeout,
            [&](Communicator& c) {
              std::vector<float> x(std::size_t{2} << 20, 1.0f);
              const Ticket t = c.start_all_reduce(std::span(x));
              std::string e = "no more data";
              if (c.rank() == c.size() - 1)
                usleep(static_cast<useconds_t>(500 * turn)), c.fail(e);
              else
                e = error_of([&] { c.wait(t), learn(c); });
              std::fill(x.begin(), x.end(), -1.0f);
              for (int k = 0; k < 5; ++k)
                require(std::count(x.begin(), x.end(), -1.0f) == std::ssize(x),
                        "somebody writes after a failure");
              throw CommError(e);
            },
            {"no more data"});
}

inline const Case failure_cases[] = {
    {"wrong arguments", arguments},
    {"calls that do not match", mismatches},
    {"a message of another size", wrong_message},
    {"a deadline", deadline},
    {"the own timeout", own_timeout},
    {"a transfer that is late", late_transfer},
    {"an abort", aborts},
    {"memory of what failed", keeps},
    {"memory that goes after a failure", lets_go},
};

}  // namespace contract

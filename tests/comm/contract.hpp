// SPDX-License-Identifier: Apache-2.0
// What every Communicator promises, as one list of cases that runs over any of them:
//
//   for (const contract::Case& c : contract::cases)                // contract_failures.hpp adds failure_cases
//     for (const int ranks : {1, 2, 4}) c.run(subject, ranks);     // throws Error with what is broken
//
// A subject says how ranks come into being. Nothing here knows a test framework or a thread: a case hands a body to
// subject.launch, and the body throws where the promise is broken; so the same cases serve programs of mpiexec.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "crema/comm/communicator.hpp"
#include "crema/core/random.hpp"

namespace contract {
using namespace crema;

using Body = std::function<void(Communicator&)>;

#if defined(CREMA_SANITIZED)  // where all takes 10 to 50 times as long: many chunks and pieces still
constexpr std::size_t most_bytes = 1u << 20;
#else
constexpr std::size_t most_bytes = 8u << 20;
#endif

struct Subject {
  /// Forms a new world of that many ranks whose waits take `timeout` seconds at most, runs body on each, and
  /// returns what each rank of this process threw, or empty; the lowest rank first. A rank that throws has to
  /// make the others know: by fail(), or by the way that it leaves.
  std::function<std::vector<std::string>(int ranks, double timeout, const Body&)> launch;
  bool by_rank = true;   // sums are ((x_0 + x_1) + x_2) + ..., bfloat16 sums are rounded once
  bool lets_go = true;   // after a failure nobody works on what was started
  bool punctual = true;  // a wait ends at its deadline, and does not let others speak first
  std::size_t most_bytes = contract::most_bytes;  // of the largest collectives
  int rounds = 3;                                 // seeds of the random interleavings
  double timeout = 60;                            // of what must not time out
};

struct Case {
  const char* name;
  void (*run)(const Subject&, int ranks);
};

inline void require(bool good, const std::string& what) {
  if (!good) throw Error(what);
}
/// Runs a body that no rank may fail.
inline void run_good(const Subject& s, int ranks, const Body& body) {
  for (const std::string& e : s.launch(ranks, s.timeout, body)) require(e.empty(), e);
}

/// Small integers: their sums are exact in every type. They come again after `period` elements.
constexpr std::size_t period = 23;
template <class T>
T small(int rank, std::size_t i) {
  const auto k = static_cast<int>((i * 7 + static_cast<std::size_t>(rank) * 13) % period);
  return static_cast<T>(static_cast<float>(std::is_same_v<T, std::uint8_t> ? k : k - 11));
}
/// Numbers whose sum depends on the order of adding: SplitMix64 of the element and the rank.
template <class T>
T wild(int rank, std::size_t i) {
  std::uint64_t z = (i * 8 + static_cast<std::size_t>(rank) + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return static_cast<T>(std::ldexp(static_cast<float>(z >> 40) - 0x1p23f, static_cast<int>(z % 24) - 24));
}
template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}
inline double combine(Reduction r, double a, double b) {
  return r == Reduction::sum ? a + b : r == Reduction::max ? std::max(a, b) : std::min(a, b);
}

/// n elements of a rank between guards, the first at an address that only its type aligns.
template <class T>
class Guarded {
 public:
  template <class F>
  Guarded(std::size_t n, F&& value) : all_(n + 2 * guard) {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = mark(i);
    for (std::size_t i = 0; i < n; ++i) all_[guard + i] = value(i);
  }
  std::span<T> span() { return std::span(all_).subspan(guard, all_.size() - 2 * guard); }
  /// Elements [first, first + count) are value(i), the guards untouched.
  template <class F>
  void check(std::size_t first, std::size_t count, F&& value, const std::string& what) {
    for (std::size_t i = first; i < first + count; ++i)
      if (const T expected = value(i); !same_bits(span()[i], expected))
        throw Error(cat(what, ": element ", i, " is ", static_cast<double>(span()[i]), ", not ",
                        static_cast<double>(expected)));
    for (std::size_t i = 0; i < guard; ++i)
      if (!same_bits(all_[i], mark(i)) || !same_bits(all_[all_.size() - 1 - i], mark(all_.size() - 1 - i)))
        throw Error(cat(what, ": wrote beyond the data"));
  }

 private:
  static constexpr std::size_t guard = 3;
  static T mark(std::size_t i) { return static_cast<T>(static_cast<float>(100 + i % 5)); }
  std::vector<T> all_;
};

/// All collectives; `all_ways`: with every reduction and root, otherwise with one of each.
template <class T>
void one_size(Communicator& c, std::size_t n, bool all_ways) {
  const std::string where = cat(" of ", n, " elements of type ", static_cast<int>(element_type<T>), " on ",
                                c.size(), " ranks, rank ", c.rank());
  T values[period], expected[period];
  for (std::size_t i = 0; i < period; ++i) values[i] = small<T>(c.rank(), i);
  const auto own = [&](std::size_t i) { return values[i % period]; };
  const Part part = part_of(n, c.size(), c.rank());
  for (const Reduction r : {Reduction::sum, Reduction::max, Reduction::min}) {
    if (!all_ways && static_cast<int>(r) != static_cast<int>(element_type<T>) % 3) continue;
    for (std::size_t i = 0; i < period; ++i) {
      double x = static_cast<double>(small<T>(0, i));
      for (int q = 1; q < c.size(); ++q) x = combine(r, x, static_cast<double>(small<T>(q, i)));
      expected[i] = static_cast<T>(static_cast<float>(x));
    }
    const auto reduced = [&](std::size_t i) { return expected[i % period]; };
    Guarded<T> all(n, own), scattered(n, own);
    c.all_reduce(all.span(), r);
    all.check(0, n, reduced, cat("all_reduce ", static_cast<int>(r), where));
    c.reduce_scatter(scattered.span(), r);
    scattered.check(part.first, part.count, reduced, cat("reduce_scatter ", static_cast<int>(r), where));
  }
  for (int root = all_ways ? 0 : c.size() - 1; root < c.size(); ++root) {
    Guarded<T> x(n, own);
    c.broadcast(x.span(), root);
    x.check(
        0, n, [&](std::size_t i) { return small<T>(root, i); }, cat("broadcast from ", root, where));
  }
  Guarded<T> x(n, [&](std::size_t i) {
    return i >= part.first && i < part.first + part.count ? small<T>(9, i) : own(i);
  });
  c.all_gather(x.span());
  x.check(
      0, n, [](std::size_t i) { return small<T>(9, i); }, cat("all_gather", where));
}

template <class T>
void all_sizes(const Subject& s, int ranks) {
  run_good(s, ranks, [&](Communicator& c) {
    for (const std::size_t n : {0u, 1u, 2u, 7u, 15u, 16u, 17u, 33u, 64u, 1000u, 4099u, 20011u})
      one_size<T>(c, n, true);
    one_size<T>(c, s.most_bytes / 16 / sizeof(T) + 5, true);
    one_size<T>(c, s.most_bytes / sizeof(T), false);
  });
}

/// Sums have the same bits on all ranks and each time; where the order is that of the ranks, these bits.
template <class T>
void one_order(const Subject& s, Communicator& c, std::size_t n) {
  using A = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;
  const auto own = [&](std::size_t i) { return wild<T>(c.rank(), i); };
  Guarded<T> first(n, own), again(n, own), part(n, own);
  const auto by_rank = [&](std::size_t i) {
    A sum = static_cast<A>(wild<T>(0, i));
    for (int q = 1; q < c.size(); ++q) sum += static_cast<A>(wild<T>(q, i));
    return static_cast<T>(sum);
  };
  c.all_reduce(first.span());
  c.all_reduce(again.span());
  again.check(
      0, n, [&](std::size_t i) { return first.span()[i]; }, cat("the same sum again, of ", n));
  Guarded<T> root(n, [&](std::size_t i) { return first.span()[i]; });
  c.broadcast(root.span(), 0);
  root.check(
      0, n, [&](std::size_t i) { return first.span()[i]; }, cat("rank 0's sum and the own one, of ", n));
  if (!s.by_rank) return;
  first.check(0, n, by_rank, cat("the sum by rank, of ", n));
  c.reduce_scatter(part.span());
  const Part p = part_of(n, c.size(), c.rank());
  part.check(p.first, p.count, by_rank, cat("the scattered sum by rank, of ", n));
}
inline void order(const Subject& s, int ranks) {
  run_good(s, ranks, [&](Communicator& c) {
    for (const std::size_t n : {1u, 5u, 16u, 100u, 1023u, 5000u, 40001u, 300007u}) {
      if (n * sizeof(double) > contract::most_bytes) continue;
      one_order<float>(s, c, n);
      one_order<double>(s, c, n);
      one_order<BFloat16>(s, c, n);
    }
  });
}

inline void many_tickets(const Subject& s, int ranks) {
  run_good(s, ranks, [&](Communicator& c) {
    require(c.done(Ticket()), "a ticket of nothing is done");
    c.wait(Ticket());
    std::vector<Guarded<float>> x;
    for (std::size_t k = 0; k < 20; ++k)
      x.emplace_back(k * k * 100, [&](std::size_t i) { return small<float>(c.rank(), i + k); });
    std::vector<Ticket> tickets;
    for (Guarded<float>& y : x) tickets.push_back(c.start_all_reduce(y.span()));
    tickets.push_back(c.start_barrier());
    for (std::size_t k = tickets.size(); k-- > 0;) {
      if (k % 3 == 0) c.progress();
      if (k % 3 == 1)
        while (!c.done(tickets[k])) c.progress();
      c.wait(tickets[k]);
      c.wait(tickets[k]);  // a ticket that is done stays done
      require(c.done(tickets[k]), "done after wait");
    }
    for (std::size_t k = 0; k < x.size(); ++k)
      x[k].check(
          0, k * k * 100,
          [&](std::size_t i) {
            float y = 0;
            for (int q = 0; q < c.size(); ++q) y += small<float>(q, i + k);
            return y;
          },
          cat("ticket ", k));
    auto owner = std::make_shared<std::vector<float>>(100, 1.0f);
    const std::weak_ptr<std::vector<float>> watched = owner;
    const std::span<float> data(*owner);
    const Ticket t = c.start_all_reduce(data, Reduction::sum, std::move(owner));
    c.wait(t);
    require(watched.expired(), "a ticket that is done lets go of what it kept");
    auto another = std::make_shared<std::vector<float>>(100, 1.0f);
    const std::weak_ptr<std::vector<float>> unasked = another;
    const std::span<float> more(*another);
    c.start_all_reduce(more, Reduction::sum, std::move(another));
    for (const double end = monotonic_seconds() + s.timeout; !unasked.expired() && monotonic_seconds() < end;)
      c.progress();
    require(unasked.expired(), "a ticket that is done lets go of what it kept, waited for or not");
  });
}

inline void messages(const Subject& s, int ranks) {
  run_good(s, ranks, [&](Communicator& c) {
    const int to = (c.rank() + 1) % c.size(), from = (c.rank() + c.size() - 1) % c.size();
    const auto filled = [&](std::size_t n, int who, std::size_t k) {
      std::vector<double> x(n);
      for (std::size_t i = 0; i < n; ++i) x[i] = small<double>(who, i + k);
      return x;
    };
    // To the next rank, to itself where there is one: sizes from nothing to large, in order, two tags.
    const std::vector<std::size_t> sizes = {0, 1, 3, 100, 5000, 70000, s.most_bytes / 16, 2};
    std::vector<std::vector<double>> out, in;
    std::vector<Ticket> sent;
    for (std::size_t k = 0; k < sizes.size(); ++k) out.push_back(filled(sizes[k], c.rank(), k));
    for (std::size_t k = 0; k < sizes.size(); ++k)
      sent.push_back(c.start_send(std::span<const double>(out[k]), to, static_cast<int>(k % 2)));
    for (const std::size_t parity : {1u, 0u})  // another order than they were sent in
      for (std::size_t k = parity; k < sizes.size(); k += 2) {
        std::vector<double> x(sizes[k]);
        c.receive(std::span(x), from, static_cast<int>(k % 2));
        require(x == filled(sizes[k], from, k), cat("message ", k, " to rank ", c.rank()));
      }
    for (const Ticket t : sent) c.wait(t);
    // To itself, the receive first.
    std::vector<double> own = filled(1000, 5, 0), back(1000);
    const Ticket r = c.start_receive(std::span(back), c.rank(), 9),
                 t = c.start_send(std::span<const double>(own), c.rank(), 9);
    c.wait(r), c.wait(t);
    require(back == own, "a message to itself");
    require(!c.probe(any_rank, 77) && !c.probe(from, 77), "no message, none probed");
    // Everybody to rank 0, who asks who has come.
    std::vector<double> mine = filled(static_cast<std::size_t>(c.rank()) + 1, c.rank(), 0);
    const Ticket m = c.start_send(std::span<const double>(mine), 0, 3);
    for (int left = c.rank() == 0 ? c.size() : 0; left > 0; --left) {
      std::optional<Incoming> found;
      while (!found) found = c.probe(any_rank, 3);
      const auto n = static_cast<std::size_t>(found->from) + 1;
      require(found->tag == 3 && found->bytes == n * sizeof(double), "what was probed");
      std::vector<double> x(n);
      c.receive(std::span(x), found->from, 3);
      require(x == filled(n, found->from, 0), "what was received");
    }
    c.wait(m);
  });
}

/// A list of calls that all ranks know, each rank at its own pace, with what is outstanding ended at random.
inline void interleave(Communicator& c, int seed, int calls) {
  struct Running {
    Ticket ticket;
    std::vector<float> data, expected;
    std::size_t first, count;
  };
  std::vector<Running> running;
  std::uint32_t own = 0;
  const auto draw = [&](std::uint32_t k, std::uint32_t who) {
    return philox({k, who, 0, 0}, {static_cast<std::uint32_t>(seed), 7});
  };
  const auto chance = [&] { return draw(own++, static_cast<std::uint32_t>(c.rank()) + 1)[0]; };
  const auto end_one = [&](std::size_t k) {
    c.wait(running[k].ticket);
    const Running& r = running[k];
    for (std::size_t i = r.first; i < r.first + r.count; ++i)
      if (r.data[i] != r.expected[i])
        throw Error(cat("seed ", seed, ", rank ", c.rank(), ": a wrong number"));
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(k));
  };
  for (std::uint32_t k = 0; k < static_cast<std::uint32_t>(calls); ++k) {
    const Counter plan = draw(k, 0);
    const std::size_t n = plan[1] % (plan[0] % 5 == 0 ? 60000 : 300);
    const auto peer = static_cast<int>(plan[2] % static_cast<std::uint32_t>(c.size()));
    const auto other = static_cast<int>(plan[3] % static_cast<std::uint32_t>(c.size()));
    const int kind = static_cast<int>(plan[0] / 5 % 6);
    if (kind >= 4 && c.rank() != peer && c.rank() != other) continue;
    Running& r = running.emplace_back(Running{{}, std::vector<float>(n), std::vector<float>(n), 0, n});
    const Part part = part_of(n, c.size(), c.rank());
    for (std::size_t i = 0; i < n; ++i) {
      r.data[i] = small<float>(c.rank(), i + k);
      r.expected[i] = small<float>(peer, i + k);
      for (int q = 0; kind < 2 && q < c.size(); ++q)
        r.expected[i] = q == 0 ? small<float>(0, i + k) : r.expected[i] + small<float>(q, i + k);
    }
    if (kind == 0) r.ticket = c.start_all_reduce(std::span(r.data));
    if (kind == 1)
      r.first = part.first, r.count = part.count, r.ticket = c.start_reduce_scatter(std::span(r.data));
    if (kind == 2) r.ticket = c.start_broadcast(std::span(r.data), peer);
    if (kind == 3) {
      for (std::size_t i = part.first; i < part.first + part.count; ++i) r.data[i] = r.expected[i];
      r.ticket = c.start_all_gather(std::span(r.data));
    }
    const int tag = static_cast<int>(plan[3] / 7 % 3);
    if (kind >= 4 && c.rank() == peer) {
      r.ticket = c.start_send(std::span<const float>(r.data), other, tag);
      if (peer == other) running.push_back(Running(r));
    }
    if (kind >= 4 && c.rank() == other) {
      Running& in = running.back();
      in.ticket = c.start_receive(std::span(in.data), peer, tag);
    }
    if (chance() % 4 == 0) c.progress();
    while (!running.empty() && chance() % 3 == 0) {
      const std::size_t which = chance() % running.size();
      if (chance() % 2 == 0 || c.done(running[which].ticket)) end_one(which);
    }
  }
  while (!running.empty()) end_one(chance() % running.size());
}
inline void interleavings(const Subject& s, int ranks) {
  for (int seed = 0; seed < s.rounds; ++seed)
    run_good(s, ranks, [&](Communicator& c) { interleave(c, seed, 150); });
}

inline const Case cases[] = {
    {"float32", all_sizes<float>},
    {"float64", all_sizes<double>},
    {"bfloat16", all_sizes<BFloat16>},
    {"int32", all_sizes<std::int32_t>},
    {"int64", all_sizes<std::int64_t>},
    {"uint8", all_sizes<std::uint8_t>},
    {"order of sums", order},
    {"many tickets", many_tickets},
    {"messages", messages},
    {"random interleavings", interleavings},
};

}  // namespace contract

// SPDX-License-Identifier: Apache-2.0
// Who is let into a world, who is not, and what all ranks are told when one of them fails.
#include "crema/comm/world.hpp"
#include "crema/comm/pmi.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>

#include "catch.hpp"
#include "worlds.hpp"

using namespace crema;

namespace {
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// n ranks with options changed by `edit`; their errors.
template <class Edit>
std::vector<std::string> form(int n, Edit edit) {
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  return on_threads(n, [&](int rank) {
    WorldOptions o = quick_world(rank, n);
    o.address = address;
    edit(o);
    const auto world =
        rank == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    world->communicator().barrier();
    world->leave();
  });
}

bool listens(const std::string& address) {
  std::string why;
  const detail::Resolved r(address, false);
  return detail::try_connect(*r.first(), Deadline(1), nullptr, why).open();
}

/// A rank as a process: its standard output is read line by line.
class Process {
 public:
  Process(int rank, int size, const std::string& address, int steps) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    out_ = detail::Descriptor(ends[0]);
    const detail::Descriptor theirs(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), 1);
    std::array<std::string, 7> text{
        CREMA_WORLD_PEER, cat(rank), cat(size), address, "a secret for the tests only", cat(steps), "1.5"};
    std::vector<char*> args;
    for (std::string& t : text) args.push_back(t.data());
    args.push_back(nullptr);
    REQUIRE(posix_spawn(&pid_, args[0], &actions, nullptr, args.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  void send(int signal) const { ::kill(pid_, signal); }
  /// The next line that starts so; what comes before is skipped. "" at the end or after `seconds`.
  std::string line(const std::string& start, double seconds) {
    const Deadline deadline(seconds);
    for (;;) {
      for (std::size_t end; (end = text_.find('\n')) != std::string::npos;) {
        const std::string next = text_.substr(0, end);
        text_.erase(0, end + 1);
        if (next.starts_with(start)) return next.substr(start.size());
      }
      char bytes[4096];
      pollfd p{out_.get(), POLLIN, 0};
      if (detail::poll_for(&p, 1, deadline.left()) <= 0) return "";
      const ssize_t n = ::read(out_.get(), bytes, sizeof bytes);
      if (n <= 0) return "";
      text_.append(bytes, static_cast<std::size_t>(n));
    }
  }

 private:
  detail::Descriptor out_;
  pid_t pid_ = 0;
  std::string text_;
};

/// A world of n processes in the midst of their all-reduces.
std::vector<std::unique_ptr<Process>> start_processes(int n, std::string& address) {
  std::vector<std::unique_ptr<Process>> ranks;
  ranks.push_back(std::make_unique<Process>(0, n, "127.0.0.1:0", 0));
  address = ranks[0]->line("address ", 10);
  for (int r = 1; r < n; ++r) ranks.push_back(std::make_unique<Process>(r, n, address, 0));
  for (auto& p : ranks) REQUIRE(p->line("step 10", 20).empty());
  return ranks;
}
}  // namespace

TEST_CASE("a world forms, works and leaves nothing that listens") {
  std::string address;
  {
    auto listener = std::make_shared<Listener>("127.0.0.1:0");
    address = listener->address();
    CHECK(listens(address));
    CHECK_FALSE(listens(cat("127.0.0.2", address.substr(address.rfind(':')))));  // on one address alone
    const auto errors = on_threads(3, [&](int rank) {
      WorldOptions o = quick_world(rank, 3);
      o.address = address;
      o.fingerprints = {{"parameters", 42}, {"settings", 7}};
      const auto world =
          rank == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
      std::vector<std::int64_t> x{1, rank};
      world->communicator().all_reduce(std::span(x));
      if (x != std::vector<std::int64_t>{3, 3}) throw Error("a wrong sum");
      if (listens(address))
        throw Error("the port of rank 0 is still open");  // now that rank 0 has joined too
      if (!world->failure().empty()) throw Error(world->failure());
      world->leave();
    });
    CHECK(errors == std::vector<std::string>(3));
  }
  CHECK_FALSE(listens(address));
}

TEST_CASE("one rank needs neither address nor secret") {
  World world(WorldOptions{});
  std::vector<float> x{1, 2};
  world.communicator().all_reduce(std::span(x));
  world.communicator().barrier();
  CHECK(x == std::vector<float>{1, 2});
  world.leave();
}

TEST_CASE("a world refuses options that make no sense") {
  WorldOptions o = quick_world(0, 2);
  o.secret = "short";
  CHECK_THROWS_AS(World(o), CommError);
  o = quick_world(2, 2);
  CHECK_THROWS_AS(World(o), CommError);
  o = quick_world(0, 2);
  o.address = "nonsense";
  CHECK_THROWS_AS(World(o), CommError);
  CHECK(make_secret().size() == 32);
  CHECK(make_secret() != make_secret());
}

TEST_CASE("who does not come is named, on all ranks, at the deadline") {
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  const double start = monotonic_seconds();
  const auto errors = on_threads(2, [&](int rank) {
    WorldOptions o = quick_world(rank, 4);
    o.address = address;
    o.deadline = 0.6;
    const auto world =
        rank == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
  });
  CHECK(monotonic_seconds() - start < 5);
  for (const std::string& e : errors)
    CHECK(has(e, "rank 2, 3 did not come to the world of 4 ranks within 0.6 s"));

  const auto alone = on_threads(1, [&](int) {
    WorldOptions o = quick_world(1, 2);
    o.address = "127.0.0.1:1";
    o.deadline = 0.3;
    World world(o);
  });
  CHECK(has(alone[0], "rank 0 (127.0.0.1:1) could not be reached"));
}

TEST_CASE("a wrong secret is turned away, the world forms without it") {
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  const auto errors = on_threads(3, [&](int k) {
    WorldOptions o = quick_world(k == 0 ? 0 : 1, 2);
    o.address = address;
    if (k == 1) o.secret = "another secret, just as long";
    if (k == 2) detail::poll_for(nullptr, 0, 0.3);  // the wrong one comes first
    const auto world = k == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    world->communicator().barrier();
    world->leave();
  });
  CHECK(errors[0].empty());
  CHECK(has(errors[1], "is the secret the same"));
  CHECK(errors[2].empty());
}

TEST_CASE("a listener that does not know the secret is not believed") {
  Listener impostor("127.0.0.1:0");
  const auto errors = on_threads(2, [&](int k) {
    if (k == 1) {
      WorldOptions o = quick_world(1, 2);
      o.address = impostor.address();
      o.deadline = 5;
      World world(o);
      return;
    }
    REQUIRE(detail::wait_for(impostor.fd(), POLLIN, Deadline(5), nullptr));
    const detail::Descriptor s(::accept4(impostor.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const std::string challenge = cat(detail::handshake_magic, detail::make_nonce());
    detail::send_exactly(s.get(), challenge, Deadline(5), nullptr, "peer");
    detail::receive_exactly(s.get(), detail::answer_bytes, Deadline(5), nullptr, "peer");
    detail::send_exactly(s.get(), std::string(32, 'x'), Deadline(5), nullptr, "peer");
    detail::poll_for(nullptr, 0, 0.3);
  });
  CHECK(has(errors[1], "does not know the secret"));
}

TEST_CASE("strangers with garbage, half an answer or nothing disturb nobody") {
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  const double start = monotonic_seconds();
  const auto errors = on_threads(3, [&](int k) {
    if (k < 2) {
      if (k == 1) detail::poll_for(nullptr, 0, 0.5);  // after the strangers
      WorldOptions o = quick_world(k, 2);
      o.address = address;
      const auto world =
          k == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
      world->communicator().barrier();
      return world->leave();
    }
    std::vector<detail::Descriptor> strangers;
    for (int i = 0; i < 400; ++i) {
      strangers.push_back(detail::connect_to(address, Deadline(5), nullptr, "rank 0"));
      const std::string garbage(i % 4 == 0   ? 0
                                : i % 4 == 1 ? 40
                                : i % 4 == 2 ? 80
                                             : 5000,
                                static_cast<char>(i));
      const iovec part{const_cast<char*>(garbage.data()), garbage.size()};
      if (!garbage.empty()) detail::send_some(strangers.back().get(), &part, 1);
      if (i % 5 == 0) strangers.pop_back();
    }
    detail::poll_for(nullptr, 0, 1);  // the others stay at the door
  });
  CHECK(errors == std::vector<std::string>(3));
  CHECK(monotonic_seconds() - start < 10);
}

TEST_CASE("a rank that is there already, or is none, is refused and the others go on") {
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  const auto errors = on_threads(5, [&](int k) {
    WorldOptions o = quick_world(k == 0 ? 0 : 1, k == 2 ? 5 : 3);
    if (k == 4) o.rank = 2;
    o.address = address;
    if (k == 2) detail::poll_for(nullptr, 0, 0.2);
    if (k == 3) detail::poll_for(nullptr, 0, 0.4);
    if (k == 4) detail::poll_for(nullptr, 0, 0.8);
    const auto world = k == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    world->communicator().barrier();
    world->leave();
  });
  CHECK(errors[0].empty());
  CHECK(errors[1].empty());
  CHECK(has(errors[2], "rank 1 of 5 does not fit: this world has 3 ranks"));
  CHECK(has(errors[3], "has come already"));
  CHECK(errors[4].empty());
}

TEST_CASE("what must be equal and is not is told to all") {
  const auto settings = form(3, [](WorldOptions& o) {
    o.fingerprints = {{"parameters", 1}, {"settings", o.rank == 2 ? 6u : 5u}};
  });
  for (const std::string& e : settings) CHECK(e == "rank 2 differs from rank 0 in settings");
  const auto version = form(3, [](WorldOptions& o) { o.version = o.rank == 1 ? "9.9.9" : "1.0.0"; });
  for (const std::string& e : version)
    CHECK(e == "rank 1 differs from rank 0 in its version: 9.9.9, not 1.0.0");
  const auto number = form(2, [](WorldOptions& o) {
    if (o.rank == 0) o.fingerprints = {{"parameters", 1}};
  });
  for (const std::string& e : number) CHECK(e == "rank 1 differs from rank 0 in what it compares");
}

TEST_CASE("a rank that leaves by an exception is told to the others") {
  const auto errors = in_world(3, [](World& w) {
    w.communicator().barrier();
    if (w.rank() == 2) throw DataError("a bad sample");
    std::vector<float> x(100000);
    w.communicator().all_reduce(std::span(x));
  });
  CHECK(errors[2] == "a bad sample");
  CHECK(has(errors[0], "rank 2"));
  CHECK(has(errors[1], "rank 2"));
}

TEST_CASE("a step that stands still is noticed, if asked") {
  const auto errors = form(2, [](WorldOptions& o) {
    o.stall = 0.5;
    o.timeout = 10;
  });
  CHECK(errors == std::vector<std::string>(2));
  auto listener = std::make_shared<Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  const auto stalled = on_threads(2, [&](int rank) {
    WorldOptions o = quick_world(rank, 2);
    o.address = address;
    o.stall = 0.5;
    const auto world =
        rank == 0 ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    world->set_step(rank == 0 ? 4 : 3);
    world->communicator().barrier();
    std::vector<float> x(10);
    if (rank == 0) world->communicator().all_reduce(std::span(x));
    const Deadline deadline(10);
    while (world->failure().empty() && !deadline.over()) detail::poll_for(nullptr, 0, 0.02);
    throw Error(world->failure());
  });
  for (const std::string& e : stalled) CHECK(e.starts_with("rank 1 stands still: at step 3"));
}

TEST_CASE("a killed process ends the waits of all others, by its name") {
  for (const int victim : {0, 1, 2}) {
    std::string address;
    auto ranks = start_processes(3, address);
    const double start = monotonic_seconds();
    ranks[static_cast<std::size_t>(victim)]->send(SIGKILL);
    for (int r = 0; r < 3; ++r) {
      if (r == victim) continue;
      const std::string error = ranks[static_cast<std::size_t>(r)]->line("error ", 10);
      INFO("victim " << victim << ", rank " << r);
      CHECK(error.starts_with(cat("rank ", victim, " was lost")));
    }
    CHECK(monotonic_seconds() - start < 5);
    CHECK_FALSE(listens(address));
  }
}

TEST_CASE("a stopped process is noticed by its silence") {
  for (const int victim : {0, 1}) {
    std::string address;
    auto ranks = start_processes(3, address);
    const double start = monotonic_seconds();
    ranks[static_cast<std::size_t>(victim)]->send(SIGSTOP);
    for (int r = 0; r < 3; ++r) {
      if (r == victim) continue;
      const std::string error = ranks[static_cast<std::size_t>(r)]->line("error ", 10);
      INFO("victim " << victim << ", rank " << r);
      CHECK(error.starts_with(cat("rank ", victim, " was lost: silent for 1 s")));
    }
    CHECK(monotonic_seconds() - start < 8);
  }
}

TEST_CASE("what may have followed from a silence is the failure only when there is none") {
  for (const bool silent : {true, false}) {
    Listener listener("127.0.0.1:0");
    const Process other(1, 2, listener.address(), 0);
    WorldOptions o = quick_world(0, 2);
    o.address = listener.address();
    o.silence = 1.5;
    World world(o, std::move(listener));
    if (silent) other.send(SIGSTOP);
    world.control()->suspect(0, "rank 0: a witness");
    const Deadline deadline(10);
    while (world.failure().empty() && !deadline.over()) detail::poll_for(nullptr, 0, 0.02);
    CHECK(world.failure().starts_with(silent ? "rank 1 was lost: silent for 1 s" : "rank 0: a witness"));
  }
}

TEST_CASE("MPI that gives up is told of while its world stands, and forgotten after") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const detail::Descriptor client(ends[0]);
  std::vector<detail::Descriptor> links(1);
  links[0] = detail::Descriptor(ends[1]);
  const auto say = [&](const std::string& words) {
    const iovec part{const_cast<char*>(words.data()), words.size()};
    return detail::send_some(client.get(), &part, 1) == static_cast<ssize_t>(words.size());
  };
  detail::ControlTimes times;
  times.silence = 0.1;
  auto control = std::make_unique<detail::Control>(0, std::vector<detail::PacketLink>(1), times);
  detail::PmiServer server(std::move(links), "(vector,(0,1,1))", control.get());
  REQUIRE(say("cmd=abort exitcode=1\n"));
  CHECK(detail::wait_for(control->failure().wake().fd(), POLLIN, Deadline(10), nullptr));
  CHECK(control->failure().text().starts_with("rank 0: MPI gave up"));
  server.forget_control();
  control.reset();
  REQUIRE(say("cmd=abort exitcode=1\ncmd=get_appnum\n"));  // its answer comes after the abort
  CHECK(detail::wait_for(client.get(), POLLIN, Deadline(10), nullptr));
}

// SPDX-License-Identifier: Apache-2.0
// MpiWorld: a World whose communicator is MPI's. Two ways into it:
//
//   MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);     // under mpirun: the host has initialised MPI
//   MpiWorld world(MPI_COMM_WORLD);
//
//   MpiWorld world({.rank = r, .size = 4, .address = "10.0.0.1:4711", .secret = secret});     // with no launcher
//
//   world.communicator().all_reduce(gradients);   ...   world.leave();
//
// The second is for MPICH's library: rank 0 serves what mpirun's daemons would, over the world's own authenticated
// connections, and MPI_Init runs on a thread of its own, under the world's deadline. MPI can begin once in a process;
// when it does not begin in time the constructor throws and MPI stays unusable in this process.
//
// Either way the World stands first, with its beats, its fingerprints and its tcp communicator; a lost peer ends the
// waits of the others within its `silence`. After a failure do not call MPI_Finalize: it would wait for the lost.
#pragma once

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

#include <algorithm>

#include "crema/comm/mpi.hpp"
#include "crema/comm/pmi.hpp"
#include "crema/comm/world.hpp"

namespace crema::inline CREMA_ABI {

struct MpiOptions {
  bool check =
      false;  // compare the ranks' calls before each collective: for debugging, it costs a message to each
};

namespace detail {

/// This host's first IPv4 address that others may reach, and its interface; empty where there is none. With `own` the
/// interface of that address.
struct Interface {
  std::string name, address;
};
inline Interface find_interface(std::string_view own = {}) {
  ifaddrs* all = nullptr;
  Interface found;
  if (::getifaddrs(&all) != 0) return found;
  for (const ifaddrs* i = all; i != nullptr && found.name.empty(); i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_UP) == 0) continue;
    if ((i->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const std::string address =
        host_of(address_text(*reinterpret_cast<const sockaddr_storage*>(i->ifa_addr), sizeof(sockaddr_in)));
    if (own.empty() || own == address) found = {i->ifa_name, address};
  }
  ::freeifaddrs(all);
  return found;
}

/// MPI begun and ended on one thread of its own: both may wait for peers for ever, the host does not.
class MpiProcess {
 public:
  /// Begins MPI within the deadline, or throws CommError; then MPI is unusable in this process. `server` is rank 0's.
  MpiProcess(const Deadline& deadline, Control* control, const PmiServer* server) : control_(control) {
    auto own = std::make_unique<std::shared_ptr<Shared>>(shared_);
    ServiceThread thread(
        own.get(),
        +[](std::shared_ptr<Shared>& s) { std::unique_ptr<std::shared_ptr<Shared>>(&s)->get()->work(); },
        "MPI_Init");
    thread.detach();
    own.release();
    if (wait_for(shared_->begun.fd(), POLLIN, deadline, wake())) {
      if (shared_->code != MPI_SUCCESS) throw CommError(mpi_text(shared_->code, "MPI_Init_thread"));
      return;
    }
    if (control_) control_->failure().check();
    const std::string who = server ? server->missing() : std::string();
    const std::string why =
        cat(who.empty() ? "MPI_Init did not end" : who + " did not come to MPI_Init", " within ",
            deadline.seconds(), " s: MPI is of no use in this process any more");
    throw CommError(control_ ? control_->verdict(why, server ? 0 : 1) : why);  // rank 0 knows more
  }
  /// MPI_Finalize; false when it has not ended in time.
  bool end(double seconds) {
    shared_->order.set();
    return wait_for(shared_->ended.fd(), POLLIN, Deadline(seconds), wake());
  }

 private:
  struct Shared {  // with the thread, which may wait in MPI as long as the process lives
    Wake begun, order, ended;
    int code = MPI_SUCCESS;
    void work() {
      int level = 0;
      code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
      begun.set();
      while (!wait_for(order.fd(), POLLIN, Deadline(3600), nullptr)) {
      }
      MPI_Finalize();
      ended.set();
    }
  };
  const Wake* wake() const { return control_ ? &control_->failure().wake() : nullptr; }

  Control* control_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace detail

class MpiWorld {
 public:
  /// The ranks of `comm`, all of which call this. Of `o`, rank, size and secret are filled in, and rank 0's address
  /// too unless one is given. Throws CommError.
  explicit MpiWorld(MPI_Comm comm, WorldOptions o = {}, const MpiOptions& m = {}) {
    MPI_Comm_rank(comm, &o.rank);
    MPI_Comm_size(comm, &o.size);
    std::optional<Listener> listener = o.size > 1 ? meet(comm, o) : std::nullopt;
    world_ = listener ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    communicate(comm, o, m);
  }
  /// With no launcher, by o.rank, o.size, o.address and o.secret. Throws CommError.
  explicit MpiWorld(const WorldOptions& o, const MpiOptions& m = {}) : MpiWorld(o, std::nullopt, m) {}
  /// On rank 0, with the socket that all dial.
  MpiWorld(const WorldOptions& o, Listener listener, const MpiOptions& m = {})
      : MpiWorld(o, std::optional<Listener>(std::move(listener)), m) {}

  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;
  /// Without leave() the others are told of an exception on its way, and MPI stays begun.
  ~MpiWorld() { abandon_start(); }

  Communicator& communicator() { return *communicator_; }
  World& world() { return *world_; }
  /// How many ranks share this host: its cores are for all of them.
  int ranks_on_this_host() const { return here_; }

  /// Leaves in order: each rank stays until all others have come here, `seconds` at most. Where this has begun MPI, and
  /// all ranks are on one host, MPI is ended.
  void leave(double seconds = 10) {
    if (std::exchange(left_, true)) return;
    const Deadline deadline(seconds);
    const bool together = !process_ || settle(deadline);
    if (world_->failure().empty()) communicator_->leave();
    // Between hosts MPI_Finalize of MPICH 4.0 may wait for ever: for an answer of a peer that waits for mpirun already.
    if (process_ && together && here_ == world_->size()) {
      if (process_->end(deadline.left()))
        process_.reset(), client_ = {};
      else
        world_->report("MPI_Finalize did not end in time");
    }
    world_->leave(std::max(1.0, deadline.left()));
    communicator_->fail("the world has been left");
  }

 private:
  MpiWorld(WorldOptions o, std::optional<Listener> listener, const MpiOptions& m) {
    check_begin(false);
    o.pmi = o.size > 1;
    const Deadline deadline(o.deadline);
    world_ = listener ? std::make_unique<World>(o, std::move(*listener)) : std::make_unique<World>(o);
    if (o.size > 1) serve_pmi(o);
    try {
      check_begin(true);
      process_ = std::make_unique<detail::MpiProcess>(deadline, world_->control(), server_.get());
    } catch (const CommError& e) {
      world_->report(e.message());
      abandon_start();
      throw;
    }
    for (const char* name : {"PMI_FD", "PMI_RANK", "PMI_SIZE"})
      ::unsetenv(name);  // not for the host's children
    try {
      communicate(MPI_COMM_WORLD, o, m);
    } catch (const CommError&) {
      abandon_start();
      throw;
    }
  }
  /// Until all ranks have come to leave(), MPI goes on: what it has yet to send is sent. False: they did not come.
  bool settle(const Deadline& deadline) {
    Communicator& links = world_->communicator();
    try {
      const Ticket all = links.start_barrier();
      const auto ended = [&] { return communicator_->probe(any_rank, 0), links.done(all); };
      return detail::wait_with_naps(ended, deadline, -1);
    } catch (const CommError&) {
      return false;
    }
  }
  /// Where MPI has begun and not ended, its connection is left as it is: MPICH would end the process if it closed.
  void abandon_start() {
    if (!process_ && !client_.open()) return;
    client_.release();
    if (server_) server_->forget_control();
    static_cast<void>(server_.release());
    static_cast<void>(relay_.release());
  }

  /// MPI's standard: it can be initialised once in a process. `now`: this is the time.
  static void check_begin(bool now) {
#ifndef MPICH_VERSION
    throw CommError("without mpirun this needs MPICH's library, and this program has another MPI");
#endif
    static std::atomic<bool> begun{false};
    int initialised = 0;
    MPI_Initialized(&initialised);
    if (initialised) throw CommError("MPI is initialised: give MpiWorld its communicator");
    if (now ? begun.exchange(true) : begun.load())
      throw CommError("MPI has begun once in this process, and cannot again");
  }

  /// Where all ranks of comm can meet, from rank 0: its socket, on rank 0.
  static std::optional<Listener> meet(MPI_Comm comm, WorldOptions& o) {
    MpiCommunicator bootstrap(comm, o.rank, o.size, o.deadline, nullptr, false);
    struct Exchange {
      std::int64_t host[2] = {host_number(), ~host_number()};  // the minima tell whether all are equal
      std::uint8_t text[512] = {};
    };
    const auto x = std::make_shared<Exchange>();  // kept by MPI, should it not come to an end
    bootstrap.wait(bootstrap.start_all_reduce(std::span<std::int64_t>(x->host), Reduction::min, x));
    std::optional<Listener> listener;
    if (o.rank == 0) {
      const bool one_host = x->host[0] == ~x->host[1];
      if (o.address.empty()) o.address = (one_host ? "127.0.0.1" : detail::find_interface().address) + ":0";
      listener.emplace(o.address);
      const std::string words = cat(listener->address(), " ", make_secret());
      std::memcpy(x->text, words.data(), std::min(words.size(), sizeof x->text - 1));
    }
    bootstrap.wait(bootstrap.start_broadcast(std::span<std::uint8_t>(x->text), 0, x));
    bootstrap.leave();
    const std::string_view words(reinterpret_cast<const char*>(x->text));
    o.address = words.substr(0, words.find(' '));
    o.secret = words.substr(words.find(' ') + 1);
    return listener;
  }

  /// Makes MPI_Init find the others through this world. setenv() here: call this before the host has threads that
  /// read the environment. What the user has set stays.
  void serve_pmi(const WorldOptions& o) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw CommError(cat("no socket for MPI's start: ", detail::system_text(errno)));
    detail::Descriptor own(ends[0]);
    client_ = detail::Descriptor(ends[1]);  // MPICH's, which waits on it
    std::vector<detail::Descriptor> links = world_->take_pmi_links();
    if (o.rank == 0) {
      links[0] = std::move(own);
      server_ = std::make_unique<detail::PmiServer>(
          std::move(links), detail::process_mapping(world_->hosts()), world_->control());
    } else {
      relay_ = std::make_unique<detail::PmiRelay>(std::move(own), std::move(links[0]));
    }
    ::setenv("PMI_FD", cat(client_.get()).c_str(), 1);
    ::setenv("PMI_RANK", cat(o.rank).c_str(), 1);
    ::setenv("PMI_SIZE", cat(o.size).c_str(), 1);
    // MPICH's shared-memory segments outlive a process that is killed; UCX's own are as fast.
    ::setenv("MPIR_CVAR_NOLOCAL", "1", 0);
    // UCX may read a rank's memory while that rank computes (cma), and ends its own process when the rank is killed
    // meanwhile. On one host messages of any size are copied instead. Between hosts that would cost RDMA, so cma
    // alone goes; without it MPI_Finalize takes seconds now and then, but there leave() does without it.
    const std::vector<std::string>& hosts = world_->hosts();
    std::uint8_t apart[] = {o.rank == 0 && std::count(hosts.begin(), hosts.end(), hosts[0]) < o.size};
    // By messages, which wait for rank 0 alone: who does not come is found out by MPI_Init's deadline.
    Communicator& comm = world_->communicator();
    for (int r = 1; o.rank == 0 && r < o.size; ++r) comm.send(std::span<const std::uint8_t>(apart), r, 0);
    if (o.rank != 0) comm.receive(std::span<std::uint8_t>(apart), 0, 0);
    if (apart[0])
      ::setenv("UCX_TLS", "^cma", 0);
    else
      ::setenv("UCX_RNDV_THRESH", "inf", 0);
    // One interface: the one of `listen`, or that which the world itself goes through. UCX would try all of them.
    detail::Interface i;
    if (o.rank != 0 && !o.listen.empty()) i = detail::find_interface(detail::host_of(o.listen));
    if (i.name.empty()) i = detail::find_interface(world_->host());
    if (!i.name.empty()) ::setenv("UCX_NET_DEVICES", i.name.c_str(), 0);
  }

  static std::int64_t host_number() {
    char name[MPI_MAX_PROCESSOR_NAME] = "";
    int length = 0;
    MPI_Get_processor_name(name, &length);
    return static_cast<std::int64_t>(std::hash<std::string_view>{}(name));
  }
  void communicate(MPI_Comm comm, const WorldOptions& o, const MpiOptions& m) {
    communicator_ =
        std::make_unique<MpiCommunicator>(comm, o.rank, o.size, o.timeout, world_->control(), m.check);
    const auto hosts = std::make_shared<std::vector<std::int64_t>>(static_cast<std::size_t>(o.size), 0);
    (*hosts)[static_cast<std::size_t>(o.rank)] = host_number();
    const std::span<std::int64_t> all(*hosts);
    communicator_->wait(communicator_->start_all_reduce(all, Reduction::sum, hosts), o.deadline);
    here_ = static_cast<int>(std::count(all.begin(), all.end(), host_number()));
  }

  // In this order: the communicator goes first, the world last.
  std::unique_ptr<World> world_;
  detail::Descriptor client_;
  std::unique_ptr<detail::PmiServer> server_;
  std::unique_ptr<detail::PmiRelay> relay_;
  std::unique_ptr<detail::MpiProcess> process_;
  std::unique_ptr<MpiCommunicator> communicator_;
  int here_ = 1;
  bool left_ = false;
};

}  // namespace crema

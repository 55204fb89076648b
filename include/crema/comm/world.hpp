// SPDX-License-Identifier: Apache-2.0
// World: forms the ranks of a job from (rank, size, rank 0's address, a secret), with no launcher and no daemon.
//
//   WorldOptions o{.rank = r, .size = 4, .address = "10.0.0.1:4711", .secret = secret};
//   o.fingerprints = {{"parameters", net.parameters()->fingerprint()}, {"settings", hash}};
//   World world(o);                                  // all are there, or CommError names who is not
//   world.communicator().all_reduce(gradients);      world.set_step(iteration);
//   world.leave();                                   // in order; rank 0 waits for the others
//
// Every process dials rank 0 and both prove that they know the secret; rank 0's address takes nobody once the
// world stands. A rank that dies, falls silent or gives up ends the waits of all others with an error that begins
// with its name. What travels is not encrypted. Do not fork() with a world open: the child would hold it open.
#pragma once

#include <optional>

#include "crema/comm/control.hpp"
#include "crema/comm/tcp.hpp"

namespace crema::inline CREMA_ABI {

/// Something that must be equal on all ranks.
struct Fingerprint {
  std::string what;
  std::uint64_t value = 0;
};

struct WorldOptions {
  int rank = 0, size = 1;
  std::string address = {};                    // rank 0's, host:port; not needed for one rank
  std::string secret = {};                     // 16 random bytes or more: make_secret()
  std::vector<Fingerprint> fingerprints = {};  // compared when the world forms
  std::string version = CREMA_VERSION;         // likewise
  std::string listen = {};                     // own address for the other ranks, host:port; empty: the one
                                               // that reaches rank 0, any port
  double deadline = 30;                        // seconds to form the world
  double patience = 5;                         // for a stranger to prove the secret
  double beat = 1;                 // seconds between signs of life, or silence / 4 if that is less
  double silence = 10, stall = 0;  // seconds; stall 0: steps are not watched
  double timeout = 60;             // of the communicator's waits
  bool pmi = false;                // one more connection to rank 0, for MPI (comm/mpi_world.hpp)
};

class World {
 public:
  explicit World(const WorldOptions& o) : World(o, std::nullopt) {}
  /// With a socket that was bound before: on rank 0 it is the one all dial (o.address is ignored), on another
  /// rank the one for the ranks above it.
  World(const WorldOptions& o, Listener listener) : World(o, std::optional<Listener>(std::move(listener))) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  /// Leaves without waiting for the others' work. When an exception is on its way, the others get it told.
  ~World() {
    if (control_ && std::uncaught_exceptions() > exceptions_ && !control_->failure().happened())
      control_->report(cat("rank ", options_.rank, " left the world because of an error"));
    // What is to be told goes out before the links close: a peer takes a closed link for a lost rank.
    if (control_) control_->leave(1);
    communicator_.reset();
  }

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  Communicator& communicator() { return *communicator_; }
  /// The step that the beats carry.
  void set_step(std::int64_t step) noexcept {
    if (control_) control_->set_step(step);
  }
  /// The failure that broke this world, or empty.
  std::string failure() const { return control_ ? control_->failure().text() : communicator_->failure(); }
  /// Leaves in order: rank 0 stays until the others have left, `seconds` at most. The communicator breaks.
  void leave(double seconds = 10) {
    if (!control_ || left_) return;
    left_ = true;
    const bool failed = control_->failure().happened();
    control_->leave(failed ? 1 : seconds, !failed);
    communicator_->fail("the world has been left");
  }
  /// Where each rank is: equal for ranks of one host. Rank 0 knows it of all.
  const std::vector<std::string>& hosts() const { return hosts_; }
  /// This process's own host, by the address that it has for rank 0 (rank 0: for rank 1).
  const std::string& host() const { return host_; }
  /// Words for all ranks, from any thread: the world breaks, unless it has already.
  void report(const std::string& why) {
    if (control_) control_->report(why);
  }
  /// Its control connections, for communicators that use it; null where there is one rank.
  detail::Control* control() { return control_.get(); }
  /// Connections for PMI (WorldOptions::pmi): rank 0's to serve, by rank; or the own one to rank 0. Once.
  std::vector<detail::Descriptor> take_pmi_links() { return std::exchange(pmi_, {}); }

 private:
  using Kind = detail::LinkKind;
  struct Links {
    std::vector<detail::Descriptor> collectives, messages;
  };

  World(const WorldOptions& o, std::optional<Listener> listener)
      : options_(o), exceptions_(std::uncaught_exceptions()) {
    check_options();
    if (o.size > 1) {
      const Deadline deadline(o.deadline);
      if (o.rank == 0)
        form_as_first(std::move(listener), deadline);
      else
        form(std::move(listener), deadline);
    }
    communicator_ = std::make_unique<TcpCommunicator>(
        o.rank, o.size, o.timeout, std::move(links_.collectives), std::move(links_.messages), control_.get());
  }
  void check_options() const {
    const WorldOptions& o = options_;
    if (o.size < 1 || o.rank < 0 || o.rank >= o.size || o.size > max_size)
      throw CommError(
          cat("rank ", o.rank, " of ", o.size, ": a world has 1 to ", max_size, " ranks, from 0"));
    if (o.size > 1 && o.secret.size() < 16)
      throw CommError("a world's secret has 16 bytes or more: take make_secret()'s, the same on all ranks");
  }

  // Rank 0: lets the others in, compares them, tells each where the others are.
  void form_as_first(std::optional<Listener> listener, const Deadline& deadline) {
    if (!listener) listener.emplace(options_.address);
    detail::Doorman door(listener->fd(), options_.secret, options_.patience);
    std::vector<detail::PacketLink> ranks = admit(door, deadline);
    detail::Packet table{detail::Packet::table, {}};
    try {
      compare(ranks, deadline, table.body);
    } catch (const CommError& e) {
      tell_all(ranks, {detail::Packet::abort, e.message()});
      throw;
    }
    tell_all(ranks, table);
    control_ = make_control(std::move(ranks));
    connect_all(door, {}, deadline);
    control_->ready_and_wait(deadline);
  }
  std::vector<detail::PacketLink> admit(detail::Doorman& door, const Deadline& deadline) {
    std::vector<detail::PacketLink> ranks(count());
    std::size_t here = 1;
    double next_news = 0;
    while (here < count()) {
      std::optional<detail::Guest> guest = door.next(Deadline(std::min(deadline.left(), 0.5)), nullptr);
      if (guest && seat(*guest, ranks)) ++here;
      std::string missing;
      for (std::size_t r = 1; r < count(); ++r)
        if (!ranks[r].open()) missing += cat(missing.empty() ? "rank " : ", ", r);
      if (here < count() && deadline.over()) {
        std::string why = cat(missing, " did not come to ", "the world of ", count(), " ranks within ",
                              deadline.seconds(), " s");
        if (door.strangers() > 0)
          why += cat("; ", door.strangers(), " connections without the secret were turned away");
        tell_all(ranks, {detail::Packet::abort, why});
        throw CommError(why);
      }
      if (monotonic_seconds() < next_news) continue;
      next_news = monotonic_seconds() + 0.5;
      tell_all(ranks, {detail::Packet::waiting, missing});
    }
    return ranks;
  }
  /// Gives a guest its place, or tells it why it has none: the others are not disturbed.
  bool seat(detail::Guest& g, std::vector<detail::PacketLink>& ranks) {
    const detail::Claim& c = g.claim;
    std::string why;
    if (c.kind != Kind::control || c.to != 0)
      why = "a control connection to rank 0 comes first";
    else if (c.size != count())
      why = cat("rank ", c.from, " of ", c.size, " does not fit: this world has ", count(), " ranks");
    else if (c.from < 1 || c.from >= count())
      why = cat("rank ", c.from, " is none of 1 to ", count() - 1);
    else if (ranks[c.from].open())
      why = cat(ranks[c.from].peer(), " has come already");
    if (!why.empty()) {
      refuse(g, why);
      return false;
    }
    ranks[c.from] = detail::PacketLink(std::move(g.socket), cat("rank ", c.from, " (", g.address, ")"));
    return true;
  }
  static void refuse(detail::Guest& g, const std::string& why) {
    detail::PacketLink link(std::move(g.socket), g.address);
    link.put({detail::Packet::refused, why});
    link.flush();
  }
  /// Reads all hellos, throws CommError unless they are equal, writes the addresses.
  void compare(std::vector<detail::PacketLink>& ranks, const Deadline& deadline, std::string& table) {
    std::string differences;
    host_ = detail::host_of(detail::local_address(ranks[1].fd()));
    hosts_ = {host_};
    for (std::size_t r = 1; r < count(); ++r) {
      const std::optional<detail::Packet> p = ranks[r].receive(deadline);
      if (!p || p->type != detail::Packet::hello)
        throw CommError(
            cat("rank ", r, " came, but said nothing of itself within ", deadline.seconds(), " s"));
      detail::BodyReader body(p->body, ranks[r].peer());
      const std::string address = body.text(), version = body.text();
      detail::put_text(table, address);
      hosts_.push_back(detail::host_of(address));
      const auto differs = [&](const std::string& what) {
        differences += cat(differences.empty() ? "" : "; ", "rank ", r, " differs from rank 0 in ", what);
      };
      if (version != described_version())
        differs(cat("its version: ", version, ", not ", described_version()));
      else if (body.u32() != options_.fingerprints.size())
        differs("what it compares");
      else
        for (const Fingerprint& f : options_.fingerprints) {
          const std::string what = body.text();
          if (const std::uint64_t value = body.u64(); what != f.what || value != f.value) differs(f.what);
        }
    }
    if (!differences.empty()) throw CommError(differences);
  }
  void tell_all(std::vector<detail::PacketLink>& ranks, const detail::Packet& p) const {
    for (detail::PacketLink& link : ranks) {
      if (!link.open()) continue;
      link.put(p);
      link.flush();  // a lost one is noticed later, by its silence
    }
  }

  // Another rank.
  void form(std::optional<Listener> listener, const Deadline& deadline) {
    detail::PacketLink zero(
        detail::dial(options_.address, options_.secret, claim(Kind::control, 0), deadline, nullptr),
        cat("rank 0 (", options_.address, ")"));
    host_ = detail::host_of(detail::local_address(zero.fd()));
    if (!listener) listener.emplace(options_.listen.empty() ? host_ + ":0" : options_.listen);
    std::string own = listener->address();
    if (own.starts_with("0.0.0.0:") || own.starts_with("[::]:")) own = host_ + own.substr(own.rfind(':'));
    zero.send({detail::Packet::hello, hello(own)}, deadline);
    const std::vector<std::string> table = await_table(zero, deadline);
    std::vector<detail::PacketLink> links;
    links.push_back(std::move(zero));
    control_ = make_control(std::move(links));
    detail::Doorman door(listener->fd(), options_.secret, options_.patience);
    connect_all(door, table, deadline);
    control_->ready_and_wait(deadline);
  }
  std::string hello(const std::string& own_address) const {
    std::string body;
    detail::put_text(body, own_address);
    detail::put_text(body, described_version());
    detail::put_u32(body, static_cast<std::uint32_t>(options_.fingerprints.size()));
    for (const Fingerprint& f : options_.fingerprints) {
      detail::put_text(body, f.what);
      detail::put_u64(body, f.value);
    }
    return body;
  }
  std::vector<std::string> await_table(detail::PacketLink& zero, const Deadline& deadline) const {
    std::string missing;
    const Deadline later(deadline.left() +
                         1);  // rank 0's own deadline may end a little later, and its error says more
    for (double heard = monotonic_seconds();; heard = monotonic_seconds()) {
      const std::optional<detail::Packet> p = zero.receive(later);
      if (!p) {
        // Rank 0 has news twice a second: when it is silent, what it said last is no longer true.
        const bool silent = missing.empty() || monotonic_seconds() - heard > 2;
        throw CommError(cat(silent ? "rank 0" : missing, silent ? " did not form" : " did not come to",
                            " the world of ", count(), " ranks within ", deadline.seconds(), " s"));
      }
      if (p->type == detail::Packet::waiting) missing = p->body;
      if (p->type == detail::Packet::abort) throw CommError(p->body);
      if (p->type == detail::Packet::refused)
        throw CommError(cat("rank 0 (", options_.address, ") does not take this process: ", p->body));
      if (p->type != detail::Packet::table) continue;
      std::vector<std::string> table{options_.address};
      detail::BodyReader body(p->body, zero.peer());
      while (table.size() < count()) table.push_back(body.text());
      return table;
    }
  }

  /// The links to all others: this rank dials those below it and lets in those above it.
  void connect_all(detail::Doorman& door, const std::vector<std::string>& table, const Deadline& deadline) {
    links_.collectives.resize(count());
    links_.messages.resize(count());
    if (options_.pmi) pmi_.resize(options_.rank == 0 ? count() : 1);
    try {
      dial_lower(table, deadline);
      admit_higher(door, deadline);
    } catch (const CommError& e) {
      throw CommError(control_->verdict(e.message()));
    }
  }
  void dial_lower(const std::vector<std::string>& table, const Deadline& deadline) {
    const detail::Wake* wake = &control_->failure().wake();
    for (int r = 0; r < options_.rank; ++r) {
      const auto to = static_cast<std::size_t>(r);
      const auto dial = [&](Kind kind) {
        return detail::dial(table[to], options_.secret, claim(kind, r), deadline, wake);
      };
      links_.collectives[to] = dial(Kind::collectives);
      links_.messages[to] = dial(Kind::messages);
      if (r == 0 && options_.pmi) pmi_[0] = dial(Kind::pmi);
    }
  }
  void admit_higher(detail::Doorman& door, const Deadline& deadline) {
    const std::size_t kinds = options_.rank == 0 && options_.pmi ? 3 : 2;
    for (std::size_t left = kinds * (count() - 1 - static_cast<std::size_t>(options_.rank)); left > 0;) {
      std::optional<detail::Guest> g = door.next(deadline, &control_->failure().wake());
      control_->failure().check();
      if (!g)
        throw CommError(cat(unconnected(), " did not connect to rank ", options_.rank, " within ",
                            deadline.seconds(), " s"));
      if (g->claim.kind == Kind::control) {
        refuse(*g, "all ranks of this world have come already");
      } else if (detail::Descriptor* place = place_of(g->claim)) {
        *place = std::move(g->socket);
        --left;
      }
    }
  }
  detail::Descriptor* place_of(const detail::Claim& c) {
    const auto own = static_cast<std::uint32_t>(options_.rank);
    if (c.to != own || c.from <= own || c.from >= count() || c.size != count()) return nullptr;
    std::vector<detail::Descriptor>& links = c.kind == Kind::collectives ? links_.collectives
                                             : c.kind == Kind::messages  ? links_.messages
                                                                         : pmi_;
    return c.from < links.size() && !links[c.from].open() ? &links[c.from] : nullptr;
  }
  std::string unconnected() const {
    std::string names;
    for (std::size_t r = static_cast<std::size_t>(options_.rank) + 1; r < count(); ++r)
      if (!links_.collectives[r].open() || !links_.messages[r].open())
        names += cat(names.empty() ? "rank " : ", ", r);
    return names;
  }

  static constexpr int max_size = 1024;
  std::size_t count() const { return static_cast<std::size_t>(options_.size); }
  std::string described_version() const {
    return cat(options_.version, std::endian::native == std::endian::little ? "" : " (big-endian)",
               options_.pmi ? " with PMI" : "");
  }
  detail::Claim claim(Kind kind, int to) const {
    return {kind, static_cast<std::uint32_t>(options_.rank), static_cast<std::uint32_t>(to),
            static_cast<std::uint32_t>(count())};
  }
  std::unique_ptr<detail::Control> make_control(std::vector<detail::PacketLink> links) const {
    return std::make_unique<detail::Control>(
        options_.rank, std::move(links),
        detail::ControlTimes{std::min(options_.beat, options_.silence / 4), options_.silence,
                             options_.stall});
  }

  WorldOptions options_;
  int exceptions_;
  std::unique_ptr<detail::Control> control_;
  Links links_;
  std::vector<detail::Descriptor> pmi_;
  std::vector<std::string> hosts_;
  std::string host_;
  std::unique_ptr<Communicator> communicator_;
  bool left_ = false;
};

}  // namespace crema

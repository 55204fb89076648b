// SPDX-License-Identifier: Apache-2.0
// PMI-1, the few lines of text by which the processes of MPICH find each other in MPI_Init: rank 0 serves them over a
// world's own connections, so that no mpirun is needed. Source: MPICH's simple PMI, version 1.1 of its wire protocol.
//
//   -> cmd=put kvsname=crema key=P0-businesscard value=...        <- cmd=put_result rc=0 msg=success
//   -> cmd=barrier_in                                             <- cmd=barrier_out rc=0     (when all are in)
//   -> cmd=get kvsname=crema key=P0-businesscard                  <- cmd=get_result rc=0 msg=success value=...
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "crema/comm/control.hpp"

namespace crema::inline CREMA_ABI::detail {

/// MPICH's words for who shares a host: blocks of (first node, nodes, ranks on each).
inline std::string process_mapping(const std::vector<std::string>& hosts) {
  struct Block {
    std::size_t first, nodes, ranks;
  };
  std::vector<Block> blocks;
  std::vector<std::string> seen;
  for (const std::string& host : hosts) {
    std::size_t node = 0;
    while (node < seen.size() && seen[node] != host) ++node;
    if (node == seen.size()) seen.push_back(host);
    if (!blocks.empty() && blocks.back().first == node)
      ++blocks.back().ranks;
    else
      blocks.push_back({node, 1, 1});
  }
  for (std::size_t i = 1; i < blocks.size();) {  // neighbours with as many ranks each are one block
    Block &a = blocks[i - 1], &b = blocks[i];
    if (a.first + a.nodes == b.first && a.ranks == b.ranks)
      a.nodes += b.nodes, blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
  std::string text = "(vector";
  for (const Block& b : blocks) text += cat(",(", b.first, ",", b.nodes, ",", b.ranks, ")");
  return text + ")";
}

/// The value of "key=" in a line of PMI; values hold no blanks.
inline std::string_view pmi_value(std::string_view line, std::string_view key) {
  for (std::size_t at = 0; (at = line.find(key, at)) != std::string_view::npos; at += key.size()) {
    const std::size_t value = at + key.size();
    if ((at > 0 && line[at - 1] != ' ') || value >= line.size() || line[value] != '=') continue;
    const std::string_view rest = line.substr(value + 1);
    return rest.substr(0, rest.find(' '));
  }
  return {};
}

/// Answers the PMI-1 clients behind `links` until it is destroyed. A client that says nonsense is cut off; one whose MPI
/// gives up is reported to `control`, which outlives this or is forgotten.
class PmiServer {
 public:
  PmiServer(std::vector<Descriptor> links, std::string mapping, Control* control)
      : mapping_(std::move(mapping)), control_(control), waits_(links.size()) {
    for (Descriptor& d : links) clients_.push_back({std::move(d)});
    thread_ = ServiceThread(
        this, +[](PmiServer& s) { s.work(); }, "MPI's start");
  }
  ~PmiServer() { stop_.set(), thread_.join(); }

  /// From here on nobody is told when MPI gives up.
  void forget_control() {
    const Locked lock(mutex_);
    control_ = nullptr;
  }

  /// The ranks that others wait for: "rank 1, 2"; empty where nobody waits.
  std::string missing() const {
    std::string names;
    bool some_wait = false;
    for (std::size_t r = 0; r < waits_.size(); ++r)
      if (waits_[r])
        some_wait = true;
      else
        names += cat(names.empty() ? "rank " : ", ", r);
    return some_wait ? names : std::string();
  }

 private:
  struct Client {
    Descriptor link;
    std::string in = {}, out = {};
  };
  static constexpr std::size_t max_line = 1 << 16, max_values = 1 << 16;

  void work() noexcept {
    try {
      for (;;) {
        std::vector<pollfd> fds{{stop_.fd(), POLLIN, 0}};
        for (const Client& c : clients_)
          fds.push_back({c.link.get(), static_cast<short>(c.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
        poll_for(fds.data(), fds.size(), 3600);
        if (fds[0].revents != 0) return;
        for (std::size_t i = 0; i < clients_.size(); ++i)
          if (fds[i + 1].revents != 0 && !serve(clients_[i])) clients_[i].link = Descriptor();
      }
    } catch (const std::exception&) {  // no memory: MPI's start meets its deadline
    }
  }
  bool serve(Client& c) {
    char bytes[4096];
    const iovec part{bytes, sizeof bytes};
    const ssize_t got = receive_some(c.link.get(), &part, 1);
    if (got < 0) return false;
    c.in.append(bytes, static_cast<std::size_t>(got));
    for (std::size_t end; (end = c.in.find('\n')) != std::string::npos; c.in.erase(0, end + 1))
      answer(c, static_cast<std::size_t>(&c - clients_.data()), std::string_view(c.in).substr(0, end));
    for (Client& each : clients_) flush(each);  // a barrier's end is for all
    return c.in.size() <= max_line && values_.size() <= max_values;
  }
  static void flush(Client& c) {
    while (c.link.open() && !c.out.empty()) {
      const iovec part{c.out.data(), c.out.size()};
      const ssize_t n = send_some(c.link.get(), &part, 1);
      if (n <= 0) return;  // later, or its end is noticed when it is read
      c.out.erase(0, static_cast<std::size_t>(n));
    }
  }
  void answer(Client& c, std::size_t rank, std::string_view line) {
    const std::string_view cmd = pmi_value(line, "cmd");
    const std::string key(pmi_value(line, "key"));
    if (cmd == "init") {
      c.out += "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n";
    } else if (cmd == "get_maxes") {
      c.out += "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024\n";
    } else if (cmd == "get_appnum") {
      c.out += "cmd=appnum appnum=0\n";
    } else if (cmd == "get_universe_size") {
      c.out += cat("cmd=universe_size size=", clients_.size(), "\n");
    } else if (cmd == "get_my_kvsname") {
      c.out += "cmd=my_kvsname kvsname=crema\n";
    } else if (cmd == "put") {
      values_[key] = std::string(pmi_value(line, "value"));
      c.out += "cmd=put_result rc=0 msg=success\n";
    } else if (cmd == "get") {
      const auto at = values_.find(key);
      if (key == "PMI_process_mapping")
        c.out += cat("cmd=get_result rc=0 msg=success value=", mapping_, "\n");
      else if (at != values_.end())
        c.out += cat("cmd=get_result rc=0 msg=success value=", at->second, "\n");
      else
        c.out += "cmd=get_result rc=-1 msg=key_not_found value=unknown\n";
    } else if (cmd == "barrier_in") {
      waits_[rank] = true;
      if (!missing().empty()) return;
      for (std::atomic<bool>& w : waits_) w = false;
      for (Client& each : clients_) each.out += "cmd=barrier_out rc=0\n";
    } else if (cmd == "finalize") {
      c.out += "cmd=finalize_ack rc=0\n";
    } else if (cmd == "abort") {
      const Locked lock(mutex_);
      if (control_)
        control_->suspect(rank, cat("rank ", rank, ": MPI gave up, and said why on standard error"));
    }
  }

  std::string mapping_;
  std::vector<Client> clients_;
  std::map<std::string, std::string> values_;
  Mutex mutex_;
  Control* control_;                      // under it
  std::vector<std::atomic<bool>> waits_;  // in the barrier, by rank; read by another thread
  Wake stop_;
  ServiceThread thread_;
};

/// Passes bytes between MPICH's end and rank 0's. When rank 0 is lost MPICH is not told: it would end the process.
class PmiRelay {
 public:
  PmiRelay(Descriptor client, Descriptor server) : ends_{std::move(client), std::move(server)} {
    thread_ = ServiceThread(
        this, +[](PmiRelay& r) { r.work(); }, "MPI's start");
  }
  ~PmiRelay() { stop_.set(), thread_.join(); }

 private:
  void work() noexcept {
    for (;;) {
      pollfd fds[] = {{stop_.fd(), POLLIN, 0}, {ends_[0].get(), POLLIN, 0}, {ends_[1].get(), POLLIN, 0}};
      poll_for(fds, 3, 3600);
      if (fds[0].revents != 0) return;
      for (std::size_t i = 0; i < 2; ++i)
        if (fds[i + 1].revents != 0 && !pass(ends_[i].get(), ends_[1 - i].get())) {
          poll_for(fds, 1, 1e6);  // until it is stopped
          return;
        }
    }
  }
  /// What has come from one end, to the other.
  static bool pass(int from, int to) {
    char bytes[4096];
    const iovec part{bytes, sizeof bytes};
    const ssize_t got = receive_some(from, &part, 1);
    if (got < 0) return false;
    std::string_view left(bytes, static_cast<std::size_t>(got));
    while (!left.empty()) {
      const iovec rest{const_cast<char*>(left.data()), left.size()};
      const ssize_t sent = send_some(to, &rest, 1);
      if (sent < 0 || (sent == 0 && !wait_for(to, POLLOUT, Deadline(10), nullptr))) return false;
      left.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  Descriptor ends_[2];
  Wake stop_;
  ServiceThread thread_;
};

}  // namespace crema

// SPDX-License-Identifier: Apache-2.0
// MpiCommunicator: a Communicator over the host's MPI library, through the C API of mpi.h (MPI 3.0 or later; tried
// with MPICH and Open MPI). A MpiWorld makes it (comm/mpi_world.hpp); CMake's target is crema::mpi.
//
// Collectives are MPI's own, nonblocking and in place, so they use whatever the library knows of the network. Their
// sums have the same bits on all ranks and in every run where the library adds in a fixed order, as MPICH and Open
// MPI do; it need not be the order of ranks, and a bfloat16 sum is rounded at each addition. A wait calls MPI_Test,
// gives way to other threads, and naps when it takes long: ranks may outnumber the cores.
//
// MPI by itself never notices a lost peer, and never says who calls something else. The world's control connections
// notice the first; the second is noticed with `check`: every collective then compares the ranks' calls before it
// touches data. After a failure MPI may still own the memory of what was started: `keep` owners are then kept until
// the process ends. Other memory, that of the strategies too, may have gone: MPI must not be called again.
//
// MPI has to be initialised with MPI_THREAD_FUNNELED at least, and then used on that main thread only; on another
// thread MPI_THREAD_SERIALIZED is needed, and nobody else may call MPI at the same time.
#pragma once

#ifndef MPICH_SKIP_MPICXX  // MPI's own C++ classes are gone from its standard, and want their library
#define MPICH_SKIP_MPICXX 1
#endif
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <vector>

#include "crema/comm/arithmetic.hpp"
#include "crema/comm/tcp_frame.hpp"
#include "crema/comm/world_communicator.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

inline std::string mpi_text(int code, const char* call) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return cat(call, " failed: ", std::string_view(text, static_cast<std::size_t>(length)));
}
inline void mpi_check(int code, const char* call) {
  if (code != MPI_SUCCESS) throw Witnessed{mpi_text(code, call)};
}

/// What MPI lacks: sums, maxima and minima of bfloat16.
template <Reduction R>
void reduce_bfloat16(void* in, void* in_out, int* n, MPI_Datatype*) {
  const auto* const a = static_cast<const BFloat16*>(in);
  auto* const b = static_cast<BFloat16*>(in_out);
  for (int i = 0; i < *n; ++i) b[i] = BFloat16(reduce_two<R, float>(a[i], b[i]));
}

}  // namespace detail

class MpiCommunicator final : public WorldCommunicator {
 public:
  /// The ranks of `parent`, which all call this. Throws CommError. `control` outlives it.
  MpiCommunicator(MPI_Comm parent, int own_rank, int ranks, double seconds, detail::Control* control,
                  bool check)
      : WorldCommunicator(own_rank, ranks, seconds, control), checks_calls_(check && ranks > 1) {
    check_thread();
    guarded([&] {
      duplicate(parent, comm_);
      if (checks_calls_) duplicate(parent, checks_);
      const auto create = [](MPI_User_function* f, MPI_Op& op) {
        detail::mpi_check(MPI_Op_create(f, 1, &op), "MPI_Op_create");
      };
      create(detail::reduce_bfloat16<Reduction::sum>, bfloat16_[0]);
      create(detail::reduce_bfloat16<Reduction::max>, bfloat16_[1]);
      create(detail::reduce_bfloat16<Reduction::min>, bfloat16_[2]);
      int set = 0, *most = nullptr;
      MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &most, &set);
      limit_tags(set ? *most : 32767);
    });
  }
  /// Collective work, leave()'s, is not done here: without it MPI's own handles stay until MPI_Finalize.
  ~MpiCommunicator() override { abandon(); }

  std::string_view name() const noexcept override { return "mpi"; }
  using Communicator::wait;
  /// Frees MPI's handles, on all ranks, when nothing is pending. The communicator is broken then.
  void leave() {
    if (comm_ == MPI_COMM_NULL || !pending_.empty() || !failure().empty()) return;
    MPI_Comm_free(&comm_);
    if (checks_calls_) MPI_Comm_free(&checks_);
    for (MPI_Op& op : bfloat16_) MPI_Op_free(&op);
  }

  std::optional<Incoming> probe(int from, int tag) override {
    check_message(from, tag);
    std::optional<Incoming> found;
    guarded([&] {
      advance();
      int there = 0;
      MPI_Status s;
      detail::mpi_check(MPI_Iprobe(from == any_rank ? MPI_ANY_SOURCE : from, tag, comm_, &there, &s),
                        "MPI_Iprobe");
      if (there) found = Incoming{s.MPI_SOURCE, tag, bytes_of(s)};
    });
    return found;
  }
  Ticket start(Operation op) override {
    if (op.count > static_cast<std::size_t>(std::numeric_limits<int>::max()))
      throw CommError(
          cat("rank ", rank(), ": ", op.count, " elements in one call, MPI takes 2^31 - 1: cut it"));
    const std::uint64_t id = ++last_ticket_;
    guarded([&] {
      Running& r = pending_[id];
      r.op = std::move(op);
      if (checks_calls_ && !r.op.is_message()) {
        comparing_.push_back(id);
        tell_call(r);
      } else {
        issue(r);
      }
      advance();
    });
    return Ticket(id);
  }
  void progress() override {
    guarded([&] { advance(); });
  }
  bool done(Ticket t) override {
    guarded([&] { advance(); });
    return !pending_.contains(t.id());
  }
  void wait(Ticket t, double seconds) override {
    guarded([&] {
      const auto at = pending_.find(t.id());
      if (at == pending_.end()) return;
      const double eager = 2e-4 + 1e-9 * static_cast<double>(at->second.op.bytes());  // no nap in a transfer
      const auto ended = [&] {
        advance();
        return !pending_.contains(t.id());
      };
      if (detail::wait_with_naps(ended, Deadline(seconds), wake_fd(), eager)) return;
      check_failure();
      throw CommError(late_text(pending_.at(t.id()), seconds));
    });
  }

 private:
  using Frame = detail::Frame;
  struct Running {
    Operation op = {};
    std::vector<MPI_Request> requests = {};
    std::vector<int> counts = {}, places = {};  // of all ranks' parts
    std::vector<std::byte> part = {};           // this rank's, of a reduce_scatter
    std::vector<Frame> calls = {};              // of all ranks, where they are compared
  };

  void check_thread() const {
    int level = MPI_THREAD_SINGLE, is_main = 0;
    MPI_Query_thread(&level);
    MPI_Is_thread_main(&is_main);
    if (level < MPI_THREAD_FUNNELED)
      throw CommError(
          "MPI was initialised for one thread: call MPI_Init_thread with MPI_THREAD_FUNNELED or more");
    if (level < MPI_THREAD_SERIALIZED && !is_main)
      throw CommError(
          "this is not the thread that initialised MPI: use that one, or initialise with "
          "MPI_THREAD_SERIALIZED");
  }
  void duplicate(MPI_Comm parent, MPI_Comm& copy) {
    // MPI writes to `made` when it ends, should that be after this object's time.
    auto made = std::make_unique<MPI_Comm>(MPI_COMM_NULL);
    MPI_Request r;
    detail::mpi_check(MPI_Comm_idup(parent, made.get(), &r), "MPI_Comm_idup");
    const auto ended = [&] {
      int flag = 0;
      detail::mpi_check(MPI_Test(&r, &flag, MPI_STATUS_IGNORE), "MPI_Comm_idup");
      return flag != 0;
    };
    if (!detail::wait_with_naps(ended, Deadline(timeout()), wake_fd())) {
      static_cast<void>(made.release());
      check_failure();
      throw CommError(cat("some rank did not come to MPI_Comm_idup within ", timeout(), " s"));
    }
    copy = *made;
    MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
  }

  void advance() {
    while (!comparing_.empty()) {  // one after the other: MPI wants all ranks to start them in one order
      Running& r = pending_.at(comparing_.front());
      if (!ended(r)) break;
      compare(r);
      issue(r);
      comparing_.pop_front();
    }
    const std::uint64_t first_comparing = comparing_.empty() ? last_ticket_ + 1 : comparing_.front();
    for (auto at = pending_.begin(); at != pending_.end();) {
      Running& r = at->second;
      const bool moving = r.op.is_message() || at->first < first_comparing;
      at = moving && ended(r) ? (finish(r), pending_.erase(at)) : std::next(at);
    }
  }
  bool ended(Running& r) const {
    int flag = 0;
    if (r.op.kind == Operation::receive) return receive_ended(r);
    detail::mpi_check(
        MPI_Testall(static_cast<int>(r.requests.size()), r.requests.data(), &flag, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    return flag != 0;
  }
  bool receive_ended(Running& r) const {
    int flag = 0;
    MPI_Status s;
    const int code = MPI_Test(r.requests.data(), &flag, &s);
    int kind = MPI_SUCCESS;
    if (code != MPI_SUCCESS) MPI_Error_class(code, &kind);
    if (kind == MPI_ERR_TRUNCATE || (code == MPI_SUCCESS && flag && bytes_of(s) != r.op.bytes()))
      throw CommError(cat("rank ", r.op.peer, " sent ",
                          kind == MPI_ERR_TRUNCATE ? std::string("more") : cat(bytes_of(s), " bytes"),
                          " with tag ", r.op.tag, " where rank ", rank(), " receives ", r.op.bytes(),
                          " bytes"));
    detail::mpi_check(code, "MPI_Irecv");
    return flag != 0;
  }
  void finish(Running& r) const {
    if (r.op.kind != Operation::reduce_scatter || r.part.empty()) return;
    const Part own = part_of(r.op.count, size(), rank());
    std::memcpy(static_cast<std::byte*>(r.op.data) + own.first * size_of(r.op.type), r.part.data(),
                r.part.size());
  }

  /// Hands it to MPI.
  void issue(Running& r) {
    const Operation& op = r.op;
    const int n = static_cast<int>(op.count);
    const MPI_Datatype type = mpi_type(op.type);
    MPI_Request& request = r.requests.emplace_back(MPI_REQUEST_NULL);
    switch (op.kind) {
      case Operation::broadcast:
        return detail::mpi_check(MPI_Ibcast(op.data, n, type, op.peer, comm_, &request), "MPI_Ibcast");
      case Operation::all_reduce:
        return detail::mpi_check(MPI_Iallreduce(MPI_IN_PLACE, op.data, n, type, mpi_op(op), comm_, &request),
                                 "MPI_Iallreduce");
      case Operation::reduce_scatter:
        place_parts(r);
        r.part.resize(part_of(op.count, size(), rank()).count * size_of(op.type));
        return detail::mpi_check(
            MPI_Ireduce_scatter(op.data, r.part.data(), r.counts.data(), type, mpi_op(op), comm_, &request),
            "MPI_Ireduce_scatter");
      case Operation::all_gather:
        place_parts(r);
        return detail::mpi_check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, op.data, r.counts.data(),
                                                 r.places.data(), type, comm_, &request),
                                 "MPI_Iallgatherv");
      case Operation::barrier:
        return detail::mpi_check(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
      case Operation::send:
        return detail::mpi_check(MPI_Isend(op.data, n, type, op.peer, op.tag, comm_, &request), "MPI_Isend");
      case Operation::receive:
        return detail::mpi_check(MPI_Irecv(op.data, n, type, op.peer, op.tag, comm_, &request), "MPI_Irecv");
    }
  }
  void place_parts(Running& r) const {
    for (int q = 0; q < size(); ++q) {
      const Part p = part_of(r.op.count, size(), q);
      r.counts.push_back(static_cast<int>(p.count));
      r.places.push_back(static_cast<int>(p.first));
    }
  }
  static MPI_Datatype mpi_type(ElementType t) {
    switch (t) {
      case ElementType::float64:
        return MPI_DOUBLE;
      case ElementType::bfloat16:
        return MPI_UINT16_T;  // with ops of our own
      case ElementType::int32:
        return MPI_INT32_T;
      case ElementType::int64:
        return MPI_INT64_T;
      case ElementType::uint8:
        return MPI_UINT8_T;
      default:
        return MPI_FLOAT;
    }
  }
  MPI_Op mpi_op(const Operation& op) const {
    const MPI_Op known[] = {MPI_SUM, MPI_MAX, MPI_MIN};
    const auto which = static_cast<std::size_t>(op.reduction);
    return op.type == ElementType::bfloat16 ? bfloat16_[which] : known[which];
  }
  static std::size_t bytes_of(const MPI_Status& s) {
    int n = 0;
    MPI_Get_count(&s, MPI_BYTE, &n);
    return static_cast<std::size_t>(n);
  }

  // --- check: every rank tells every other its call before a collective touches data

  void tell_call(Running& r) {
    r.calls.resize(static_cast<std::size_t>(size()));
    Frame& own = r.calls[static_cast<std::size_t>(rank())];
    own = detail::frame_of(r.op, ++last_collective_);
    for (int q = 0; q < size(); ++q) {
      if (q == rank()) continue;
      Frame& theirs = r.calls[static_cast<std::size_t>(q)];
      detail::mpi_check(
          MPI_Irecv(&theirs, sizeof(Frame), MPI_BYTE, q, 0, checks_, &r.requests.emplace_back()),
          "MPI_Irecv");
      detail::mpi_check(MPI_Isend(&own, sizeof(Frame), MPI_BYTE, q, 0, checks_, &r.requests.emplace_back()),
                        "MPI_Isend");
    }
  }
  void compare(Running& r) const {
    const Frame& own = r.calls[static_cast<std::size_t>(rank())];
    for (std::size_t q = 0; q < r.calls.size(); ++q)
      if (r.calls[q] != own)
        throw CommError(cat("calls do not match: rank ", rank(), " called ", detail::call_text(own),
                            " where rank ", q, " called ", detail::call_text(r.calls[q])));
    r.requests.clear();
  }
  std::string late_text(Running& r, double seconds) {
    if (r.op.is_message()) return late_message_text(r.op, seconds);
    std::string who;
    for (std::size_t i = 0; i < r.requests.size() && r.requests.size() > 1; i += 2) {
      int flag = 0;
      MPI_Request_get_status(r.requests[i], &flag, MPI_STATUS_IGNORE);
      const int q = static_cast<int>(i / 2) + (static_cast<int>(i / 2) >= rank() ? 1 : 0);
      if (!flag) who += cat(who.empty() ? "" : ", ", "rank ", q);
    }
    return cat(who.empty() ? std::string("some rank") : who, " did not come to ", detail::call_text(r.op),
               " within ", seconds, " s (rank ", rank(), " waited)");
  }

  /// Whether that request is a receive: those MPI gives back.
  static bool receives(const Running& r, std::size_t request) {
    return r.op.kind == Operation::receive || (r.requests.size() > 1 && request % 2 == 0);
  }
  /// What has not ended stays in the hands of MPI: its buffers have to outlive this object.
  void abandon() {
    static auto* const abandoned = new std::deque<std::map<std::uint64_t, Running>>;
    static detail::Mutex mutex;
    if (pending_.empty()) return;
    int finalised = 0;
    MPI_Finalized(&finalised);
    for (auto& [id, r] : pending_)
      for (std::size_t i = 0; i < r.requests.size() && !finalised; ++i)
        if (receives(r, i) && r.requests[i] != MPI_REQUEST_NULL)
          MPI_Cancel(&r.requests[i]), MPI_Request_free(&r.requests[i]);
    const detail::Locked lock(mutex);
    abandoned->push_back(std::move(pending_));
  }

  const bool checks_calls_;
  MPI_Comm comm_ = MPI_COMM_NULL, checks_ = MPI_COMM_NULL;
  MPI_Op bfloat16_[3] = {MPI_OP_NULL, MPI_OP_NULL, MPI_OP_NULL};
  std::map<std::uint64_t, Running> pending_;
  std::deque<std::uint64_t> comparing_;  // collectives whose calls are being compared, by ticket
  std::uint64_t last_ticket_ = 0;
  std::uint32_t last_collective_ = 0;
};

}  // namespace crema

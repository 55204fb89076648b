// SPDX-License-Identifier: Apache-2.0
#include "streams.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <exception>
#include <mutex>
#include <thread>

using namespace crema;

namespace {

constexpr std::string_view magic = "CREMAROW";
constexpr std::uint32_t max_columns = 1000, max_block = 1u << 30;

std::string reason() { return std::generic_category().message(errno); }

/// Bytes of one connection, whole or not at all.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  void read(void* into, std::size_t n) const {
    for (auto* at = static_cast<char*>(into); n > 0;) {
      const ssize_t got = ::read(fd_, at, n);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        throw RowsCut(cat("a stream of rows was cut off", got < 0 ? cat(": ", reason()) : std::string()));
      at += got, n -= static_cast<std::size_t>(got);
    }
  }
  template <class V>
  V number() const {
    V v;
    read(&v, sizeof v);
    return v;
  }

 private:
  int fd_;
};

std::vector<Column> read_columns(const Connection& c) {
  const auto count = c.number<std::uint32_t>();
  if (count > max_columns)
    throw DataError(cat("a stream of rows with ", count, " columns; ", max_columns, " at most"));
  std::vector<Column> columns(count);
  for (Column& column : columns) {
    const auto type = c.number<std::uint8_t>();
    if (type > static_cast<std::uint8_t>(ColumnType::text))
      throw DataError(cat("a stream of rows with a column of type ", int{type}));
    column.type = static_cast<ColumnType>(type);
    column.name.resize(c.number<std::uint16_t>());
    c.read(column.name.data(), column.name.size());
  }
  return columns;
}

void receive_stream(RowStream& stream, const std::vector<StreamOrder>& orders, const std::string& spool) {
  const Connection c(stream.connection.get());
  char start[8];
  c.read(start, sizeof start);
  if (std::string_view(start, sizeof start) != magic)
    throw DataError("a stream of rows that does not begin with CREMAROW: is the host of another version?");
  const auto phase = c.number<std::uint32_t>();
  if (phase > 1) throw DataError(cat("a stream of rows of phase ", phase));
  stream.phase = static_cast<Phase>(phase);
  const auto order = std::find_if(orders.begin(), orders.end(),
                                  [&](const StreamOrder& o) { return o.phase == stream.phase; });
  stream.table = std::make_shared<RowTable>(read_columns(c), spool, order == orders.end() ? -1 : order->rows);
  std::vector<std::uint8_t> block;
  while (const auto bytes = c.number<std::uint32_t>()) {
    if (bytes > max_block) throw DataError(cat("a block of rows of ", bytes, " bytes; 1 GiB at most"));
    block.resize(bytes);
    c.read(block.data(), block.size());
    stream.table->add(block);
  }
  stream.table->finish();
}

}  // namespace

RowSocket::RowSocket(const std::string& temporary) : folder_(temporary + "/crema-XXXXXX") {
  if (!mkdtemp(folder_.data())) throw Error(cat(temporary, ": no folder can be made there: ", reason()));
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string p = path();
  if (p.size() >= sizeof a.sun_path)
    throw Error(cat(p, ": too long for a socket: give a shorter --sockets folder, such as /tmp"));
  std::copy(p.begin(), p.end(), a.sun_path);
  socket_ = detail::Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_.open() || bind(socket_.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0 ||
      listen(socket_.get(), 8) != 0)
    throw Error(cat(p, ": cannot listen: ", reason()));
}

RowSocket::~RowSocket() {
  unlink(path().c_str());
  rmdir(folder_.c_str());
}

std::vector<RowStream> RowSocket::receive(const std::vector<StreamOrder>& orders, const std::string& spool,
                                          double patience) {
  constexpr int turn_ms = 50;
  const std::size_t count = orders.size();
  std::vector<RowStream> streams(count);
  std::vector<std::thread> readers;  // a host may write its streams one after the other, or at once
  std::mutex mutex;
  std::size_t reading = 0;
  std::exception_ptr error;  // the first
  const auto fail = [&](const std::exception_ptr& e) {
    if (error) return;
    error = e;
    for (const RowStream& s : streams)
      if (s.connection.open()) shutdown(s.connection.get(), SHUT_RDWR);  // the host stops writing
  };
  for (double quiet_ms = 0; readers.size() < count; quiet_ms += turn_ms) {
    pollfd in{socket_.get(), POLLIN, 0};
    const bool ready = poll(&in, 1, turn_ms) > 0;
    const std::lock_guard lock(mutex);
    if (error) break;
    if (reading > 0) quiet_ms = 0;  // the next may begin when this one has ended
    if (!ready && quiet_ms >= patience * 1e3)
      fail(std::make_exception_ptr(
          RowsCut(cat(count - readers.size(), " streams of rows did not begin within ", patience, " s"))));
    if (!ready) continue;
    const std::size_t i = readers.size();
    streams[i].connection = detail::Descriptor(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ++reading;
    readers.emplace_back([&, i] {
      std::exception_ptr mine;
      try {
        receive_stream(streams[i], orders, spool);
      } catch (...) {
        mine = std::current_exception();
      }
      const std::lock_guard ended(mutex);
      --reading;
      if (mine) fail(mine);
    });
  }
  for (std::thread& t : readers) t.join();
  if (error) std::rethrow_exception(error);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (streams[i].phase == streams[k].phase) throw DataError("two streams of rows of one phase");
  return streams;
}

RowWriter::RowWriter(const detail::Descriptor& connection, Phase phase, const std::vector<Column>& columns)
    : connection_(connection) {
  std::string head(magic);
  const auto number = [&](auto v) { head.append(reinterpret_cast<const char*>(&v), sizeof v); };
  number(static_cast<std::uint32_t>(phase));
  number(static_cast<std::uint32_t>(columns.size()));
  for (const Column& c : columns) {
    number(static_cast<std::uint8_t>(c.type));
    number(static_cast<std::uint16_t>(c.name.size()));
    head += c.name;
  }
  send(head);
}

void RowWriter::begin(std::int64_t position) {
  if (block_.size() > 1 << 20) flush();
  put(&position, sizeof position);
}
void RowWriter::text(std::string_view s) {
  const auto n = static_cast<std::uint32_t>(s.size());
  put(&n, sizeof n), put(s.data(), s.size());
}
void RowWriter::reals(std::span<const float> values) {
  const auto n = static_cast<std::uint32_t>(values.size());
  put(&n, sizeof n), put(values.data(), values.size_bytes());
}
void RowWriter::flush() {
  const auto n = static_cast<std::uint32_t>(block_.size());
  send({reinterpret_cast<const char*>(&n), sizeof n});
  send(block_);
  block_.clear();
}
void RowWriter::end() {
  if (!block_.empty()) flush();
  flush();  // an empty block
}
void RowWriter::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw RowsCut(cat("the host takes no rows: ", reason()));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

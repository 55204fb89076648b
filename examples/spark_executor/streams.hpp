// SPDX-License-Identifier: Apache-2.0
// Row streams: rows from the host over a Unix socket, and rows back to it (docs/spark_protocol.md).
//
//   RowSocket socket("/tmp");
//   std::vector<RowStream> streams = socket.receive(job.stream, dir, 60);   // spooled, to their ends
//   streams[0].table->size();
//   RowWriter back(streams[0].connection, {{"SampleID", ColumnType::text}});
#pragma once

#include "crema/core/descriptor.hpp"
#include "crema/data/rows.hpp"
#include "crema/spec/layer_options.hpp"
#include "messages.hpp"

/// A stream that ended before its end.
class RowsCut : public crema::DataError {
 public:
  using DataError::DataError;
};

struct RowStream {
  crema::Phase phase = crema::Phase::train;
  std::shared_ptr<crema::RowTable> table;
  crema::detail::Descriptor connection;
};

/// A socket in a private folder: nobody else can connect.
class RowSocket {
 public:
  /// `temporary` has to be a short path: a socket's has 107 characters at most. Throws Error.
  explicit RowSocket(const std::string& temporary);
  RowSocket(const RowSocket&) = delete;
  ~RowSocket();
  const std::string& folder() const { return folder_; }
  std::string path() const { return folder_ + "/rows"; }

  /// Streams, each of a phase of its own, to their ends; `patience` seconds may pass while none is open. Throws DataError
  /// for rows that are wrong, RowsCut; then no stream is read any further.
  std::vector<RowStream> receive(const std::vector<StreamOrder>& orders, const std::string& spool,
                                 double patience);

 private:
  std::string folder_;
  crema::detail::Descriptor socket_;
};

/// Rows to the host, in blocks of about a megabyte.
class RowWriter {
 public:
  RowWriter(const crema::detail::Descriptor& connection, crema::Phase phase,
            const std::vector<crema::Column>& columns);
  /// A row: its values follow, one for each column.
  void begin(std::int64_t position);
  void text(std::string_view s);
  void reals(std::span<const float> values);
  /// The last block.
  void end();

 private:
  void put(const void* bytes, std::size_t n) { block_.append(static_cast<const char*>(bytes), n); }
  void flush();
  void send(std::string_view bytes);

  const crema::detail::Descriptor& connection_;
  std::string block_;
};

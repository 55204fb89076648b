// SPDX-License-Identifier: Apache-2.0
// Message: a protobuf message as an ordered tree of fields, before and
// after it has types. Prototxt and binary readers make one, printers and
// writers take one; what no schema knows is kept in it and written back.
//
// A number is kept as 64 bits: integers, bools and enums sign-extended, a float as its 32 bits, a double as
// its 64.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

/// Where something stood in its input file, from 1; line 0: it came from no file.
struct Position {
  int line = 0, column = 0;
};

struct Field;
struct Schema;
struct Message {
  std::vector<Field> fields;

  const Field* find(int number) const;  // the last one, as protobuf reads optional fields
  Field& add(int number);               // at the end; good until the next call
  friend bool operator==(const Message&, const Message&);
};

struct Field {
  enum class Form : std::uint8_t {
    number,   // bits
    bytes,    // bytes: a string, or all elements of a repeated float or double
    message,  // message
    text,     // unknown in prototxt: `name` and its value as it was written in `bytes`
    varint,
    fixed32,
    fixed64,
    chunk  // unknown in binary: bits or bytes
  };
  int number = 0;
  Form form = Form::number;
  std::uint64_t bits = 0;
  std::string bytes;
  std::string name;                // where Caffe has none for the number: a user's options, unknown text
  const Schema* schema = nullptr;  // of a user's options message
  Message message;
  Position where;

  friend bool operator==(const Field& a, const Field& b);  // wherever it stood
};

#if CREMA_BODIES
CREMA_INLINE bool operator==(const Field& a, const Field& b) {
  return a.number == b.number && a.form == b.form && a.bits == b.bits && a.bytes == b.bytes &&
         a.name == b.name && a.message == b.message;
}
CREMA_INLINE bool operator==(const Message& a, const Message& b) { return a.fields == b.fields; }
CREMA_INLINE_HOT const Field* Message::find(int number) const {
  for (std::size_t i = fields.size(); i-- > 0;)
    if (fields[i].number == number) return &fields[i];
  return nullptr;
}
CREMA_INLINE Field& Message::add(int number) {
  Field& f = fields.emplace_back();
  f.number = number;
  return f;
}
#endif

}  // namespace crema::inline CREMA_ABI

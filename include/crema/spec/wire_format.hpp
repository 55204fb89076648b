// SPDX-License-Identifier: Apache-2.0
// Binary protobuf: .caffemodel, .solverstate, .binaryproto, Datum. Every length is checked against the bytes
// that are left before memory is taken for it; what no schema knows is kept and written back.
//
//   NetSpec weights = parse_wire<NetSpec>(bytes, "lenet.caffemodel");
//   std::string bytes = write_wire(weights);
//
// A float array costs two copies on its way from the file into its vector.
#pragma once

#include <bit>

#include "crema/spec/message_builder.hpp"
#include "crema/spec/solver_spec.hpp"

namespace crema::inline CREMA_ABI {

static_assert(std::endian::native == std::endian::little, "protobuf's fixed32 and fixed64 are little-endian");

namespace detail {

/// The wire type of a kind.
inline int wire_type(Kind k) {
  return k == Kind::real ? 5 : k == Kind::real64 ? 1 : k >= Kind::string ? 2 : 0;
}

class WireReader {
 public:
  using Rows = MessageBuilder::Rows;

  WireReader(std::string_view bytes, std::string_view file, const Limits& limits, const Rows& layer_fields)
      : begin_(bytes.data()),
        at_(bytes.data()),
        end_(at_ + bytes.size()),
        file_(file.empty() ? "input" : file),
        limits_(limits),
        layer_fields_(layer_fields) {
    if (static_cast<std::int64_t>(bytes.size()) > limits.bytes)
      throw ParseError(cat(file_, ": ", bytes.size(), " bytes are more than the limit of ", limits.bytes));
  }

  void message(const Schema& schema, Message& m, int depth = 0) {
    if (depth > limits_.nesting) fail("messages are nested too deeply");
    MessageBuilder builder(schema, layer_fields_, m);
    while (at_ < end_) {
      const std::uint64_t tag = varint(), number = tag >> 3;
      if (number == 0 || number > 0x1fffffff) fail(cat("a field number of ", number, " in ", schema.name));
      const SchemaField* row = builder.find(static_cast<int>(number));
      const int wire = static_cast<int>(tag & 7);
      if (row && wire == wire_type(row->kind))
        known(*row, builder, depth);
      else if (row && row->repeated && wire == 2)
        packed(*row, builder);
      else  // or known with another wire type: protobuf keeps both
        unknown(static_cast<int>(number), wire, schema, builder);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ParseError(cat(file_, ": byte ", at_ - begin_, ": ", what,
                         "; the file is truncated, damaged or of another kind"));
  }
  void count_field() {
    if (++fields_ > limits_.fields) fail(cat("more than ", limits_.fields, " fields"));
  }

  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) fail("a number is cut off");
      const auto byte = static_cast<unsigned char>(*at_++);
      v |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return v;
    }
    fail("a number of more than 10 bytes");
  }
  std::uint64_t fixed(std::size_t size) {
    if (static_cast<std::size_t>(end_ - at_) < size) fail("a number is cut off");
    std::uint64_t v = 0;
    std::memcpy(&v, at_, size);
    at_ += size;
    return v;
  }
  std::string_view chunk() {
    const std::uint64_t size = varint();
    if (size > static_cast<std::uint64_t>(end_ - at_))
      fail(cat("a length of ", size, " where ", end_ - at_, " bytes are left"));
    const std::string_view bytes(at_, size);
    at_ += size;
    return bytes;
  }
  /// Runs `body` on the bytes of a chunk in place of the rest.
  template <class F>
  void inside(std::string_view bytes, F&& body) {
    const char* outer = end_;
    end_ = bytes.data() + bytes.size(), at_ = bytes.data();
    body();
    end_ = outer;
  }

  /// As protobuf narrows: a 32-bit field takes the low 32 bits, a bool any nonzero.
  static std::uint64_t narrow(Kind k, std::uint64_t v) {
    switch (k) {
      case Kind::int32:
      case Kind::enumeration:
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(v)));
      case Kind::uint32:
        return v & 0xffffffffu;
      case Kind::boolean:
        return v != 0;
      default:
        return v;
    }
  }

  void known(const SchemaField& row, MessageBuilder& builder, int depth) {
    if (row.kind == Kind::message) {
      if (row.number == 100 && row.name == "layer" && ++layers_ > limits_.layers)
        fail(cat("more than ", limits_.layers, " layers"));
      if (!row.repeated && builder.has(row) && ++merges_ > 1000)
        fail(cat("'", row.name, "' in more than 1000 pieces"));
      const std::string_view bytes = chunk();
      count_field();
      Message& m = builder.add(row).message;
      inside(bytes, [&] { message(*row.message, m, depth + 1); });
    } else if (row.kind >= Kind::string) {
      const std::string_view bytes = chunk();
      count_field();
      builder.add(row).bytes = bytes;
    } else {
      number(row, builder);
    }
  }
  void number(const SchemaField& row, MessageBuilder& builder) {
    if (is_array(row)) {
      const std::uint64_t bits = fixed(element_size(row));
      builder.add(row).bytes.append(reinterpret_cast<const char*>(&bits), element_size(row));
      return;
    }
    count_field();
    const std::uint64_t bits = row.kind == Kind::real     ? fixed(4)
                               : row.kind == Kind::real64 ? fixed(8)
                                                          : narrow(row.kind, varint());
    if (row.kind != Kind::enumeration || has_value(row, bits)) {
      builder.add(row).bits = bits;
      return;
    }
    Field f;  // a value the enum does not have: protobuf keeps it as an unknown field
    f.number = row.number, f.form = Field::Form::varint, f.bits = bits;
    builder.keep(std::move(f));
  }
  static bool has_value(const SchemaField& row, std::uint64_t bits) {
    for (std::string_view names = row.names; !names.empty();)
      if (bits == static_cast<std::uint64_t>(next_name(names).value)) return true;
    return false;
  }

  /// The packed form of a repeated field; every reader takes it, whether the table says packed or not.
  void packed(const SchemaField& row, MessageBuilder& builder) {
    const std::string_view bytes = chunk();
    if (!is_array(row))
      return inside(bytes, [&] {
        while (at_ < end_) number(row, builder);
      });
    if (bytes.size() % element_size(row))
      fail(cat("'", row.name, "' holds ", bytes.size(), " bytes, no multiple of ", element_size(row)));
    if (static_cast<std::int64_t>(bytes.size() / element_size(row)) > limits_.elements)
      fail(cat("'", row.name, "' holds more than ", limits_.elements, " elements"));
    builder.add(row).bytes.append(bytes);
  }

  void unknown(int number, int wire, const Schema& schema, MessageBuilder& builder) {
    count_field();
    Field f;
    f.number = number;
    switch (wire) {
      case 0:
        f.form = Field::Form::varint, f.bits = varint();
        break;
      case 1:
        f.form = Field::Form::fixed64, f.bits = fixed(8);
        break;
      case 2:
        f.form = Field::Form::chunk, f.bytes = chunk();
        break;
      case 5:
        f.form = Field::Form::fixed32, f.bits = fixed(4);
        break;
      default:  // groups are not part of Caffe's files
        fail(cat("wire type ", wire, " for field ", number, " of ", schema.name));
    }
    builder.keep(std::move(f));
  }

  const char *begin_, *at_, *end_;
  std::string file_;
  const Limits& limits_;
  const Rows& layer_fields_;
  std::int64_t layers_ = 0, fields_ = 0, merges_ = 0;
};

inline std::size_t varint_size(std::uint64_t v) {
  return (static_cast<std::size_t>(std::bit_width(v | 1)) + 6) / 7;
}
inline void put_varint(std::string& out, std::uint64_t v) {
  for (; v >= 128; v >>= 7) out += static_cast<char>(v | 128);
  out += static_cast<char>(v);
}
inline void put_tag(std::string& out, int number, int wire) {
  put_varint(out, static_cast<std::uint64_t>(number) << 3 | static_cast<std::uint64_t>(wire));
}
inline void put_number(std::string& out, int wire, std::uint64_t bits) {
  if (wire == 0)
    put_varint(out, bits);
  else
    out.append(reinterpret_cast<const char*>(&bits), wire == 5 ? 4 : 8);
}
inline std::size_t number_size(int wire, std::uint64_t bits) {
  return wire == 0 ? varint_size(bits) : wire == 5 ? 4 : 8;
}

/// A field as it goes to the wire.
struct WireField {
  int type = 2;                     // wire type
  const Schema* message = nullptr;  // of a message
  bool array = false;               // its elements one by one, each with a tag
  bool packed = false;              // integers: this and those after it in one chunk
};
inline WireField wire_field(const Field& f, const Schema& schema) {
  const SchemaField* row = schema.find(f.number);
  switch (f.form) {
    case Field::Form::varint:
      return {0};
    case Field::Form::fixed32:
      return {5};
    case Field::Form::fixed64:
      return {1};
    case Field::Form::chunk:
      return {2};
    case Field::Form::message:
      if (row && row->message) return {2, row->message};
      if (f.schema) return {2, f.schema};
      break;
    case Field::Form::bytes:
      if (row && is_array(*row) && !row->packed) return {wire_type(row->kind), nullptr, true};
      return {2};
    case Field::Form::number:
      if (row) return {wire_type(row->kind), nullptr, false, row->packed};
      break;
    case Field::Form::text:
      break;
  }
  throw SpecError(cat("field '", f.name, "' (", f.number, ") of ", schema.name,
                      " is unknown: it cannot be written to a binary file"));
}

/// The end of the run of packed integers that begins at `first`, and the bytes of their values.
inline std::size_t packed_run(const Message& m, std::size_t first, std::size_t& bytes) {
  std::size_t i = first;
  for (; i < m.fields.size() && m.fields[i].number == m.fields[first].number &&
         m.fields[i].form == Field::Form::number;
       ++i)
    bytes += varint_size(m.fields[i].bits);
  return i;
}

inline std::size_t wire_size(const Message& m, const Schema& schema) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < m.fields.size(); ++i) {
    const Field& f = m.fields[i];
    const WireField w = wire_field(f, schema);
    const std::size_t tag = varint_size(static_cast<std::uint64_t>(f.number) << 3);
    std::size_t size = w.message ? wire_size(f.message, *w.message) : f.bytes.size();
    if (w.packed) size = 0, i = packed_run(m, i, size) - 1;
    if (w.array)
      total += size + size / number_size(w.type, 0) * tag;
    else
      total += tag + (w.type == 2 || w.packed ? varint_size(size) + size : number_size(w.type, f.bits));
  }
  return total;
}

inline void write_message(std::string& out, const Message& m, const Schema& schema) {
  for (std::size_t i = 0; i < m.fields.size(); ++i) {
    const Field& f = m.fields[i];
    const WireField w = wire_field(f, schema);
    if (w.array) {
      const std::size_t size = number_size(w.type, 0);
      for (std::size_t at = 0; at + size <= f.bytes.size(); at += size)
        put_tag(out, f.number, w.type), out.append(f.bytes, at, size);
    } else if (w.packed) {
      std::size_t bytes = 0;
      const std::size_t end = packed_run(m, i, bytes);
      put_tag(out, f.number, 2), put_varint(out, bytes);
      for (; i < end; ++i) put_varint(out, m.fields[i].bits);
      --i;
    } else if (w.type != 2) {
      put_tag(out, f.number, w.type), put_number(out, w.type, f.bits);
    } else {
      put_tag(out, f.number, 2),
          put_varint(out, w.message ? wire_size(f.message, *w.message) : f.bytes.size());
      if (w.message)
        write_message(out, f.message, *w.message);
      else
        out += f.bytes;
    }
  }
}

}  // namespace detail

/// Reads a message of any schema; `layer_fields` are the options of a user's layers. Throws ParseError with
/// file and byte.
inline Message parse_wire(std::string_view bytes, const Schema& schema, std::string_view file = {},
                          const Limits& limits = {}, const std::vector<SchemaField>& layer_fields = {}) {
  Message m;
  detail::WireReader(bytes, file, limits, layer_fields).message(schema, m);
  return m;
}
template <class M>
M parse_wire(std::string_view bytes, std::string_view file = {}, const Limits& limits = {},
             const std::vector<SchemaField>& layer_fields = {}) {
  M value = from_message<M>(parse_wire(bytes, schema<M>(), file, limits, layer_fields));
  if constexpr (requires { value.file; }) value.file = file;
  return value;
}

/// Throws SpecError for a field that has no number: one kept from a prototxt.
inline std::string write_wire(const Message& m, const Schema& schema) {
  std::string out;
  out.reserve(detail::wire_size(m, schema));
  detail::write_message(out, m, schema);
  return out;
}
template <class M>
std::string write_wire(const M& value) {
  return write_wire(to_message(value), schema<M>());
}

}  // namespace crema::inline CREMA_ABI

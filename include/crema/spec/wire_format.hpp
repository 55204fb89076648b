// SPDX-License-Identifier: Apache-2.0
// Binary protobuf: .caffemodel, .solverstate, .binaryproto, Datum. Every length is checked against the bytes
// that are left before memory is taken for it; what no schema knows is kept and written back.
//
//   NetSpec weights = parse_wire<NetSpec>(bytes, "lenet.caffemodel");
//   std::string bytes = write_wire(weights);
#pragma once

#include "crema/core/limits.hpp"
#include "crema/spec/solver_spec.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

class WireReader {
 public:
  WireReader(std::string_view bytes, std::string_view file, const Limits& limits)
      : begin_(bytes.data()),
        at_(bytes.data()),
        end_(at_ + bytes.size()),
        file_(file.empty() ? "input" : file),
        limits_(limits) {
    if (static_cast<std::int64_t>(bytes.size()) > limits.bytes)
      throw ParseError(cat(file_, ": ", bytes.size(), " bytes are more than the limit of ", limits.bytes));
  }

  void message(const Schema& schema, Message& m, int depth = 0) {
    if (depth > limits_.nesting) fail("messages are nested too deeply");
    while (at_ < end_) {
      const std::uint64_t tag = varint();
      const std::uint64_t number = tag >> 3;
      if (number == 0 || number > 0x1fffffff) fail(cat("a field number of ", number, " in ", schema.name));
      Field f;
      f.number = static_cast<int>(number);
      read(schema.find(f.number), static_cast<int>(tag & 7), f, m, schema, depth);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ParseError(cat(file_, ": byte ", at_ - begin_, ": ", what,
                         "; the file is truncated, damaged or of another kind"));
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

  static int wire_of(Kind k) {
    return k == Kind::real ? 5 : k == Kind::real64 ? 1 : k >= Kind::string ? 2 : 0;
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

  void read(const SchemaField* row, int wire, Field& f, Message& m, const Schema& schema, int depth) {
    if (row && wire == wire_of(row->kind)) return known(*row, f, m, depth);
    if (row && row->repeated && wire == 2 && row->kind < Kind::string) return packed(*row, f, m);
    switch (wire) {  // unknown, or known with another wire type: protobuf keeps both
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
      default:
        fail(cat("wire type ", wire, " for field ", f.number, " of ", schema.name));
    }
    m.fields.push_back(std::move(f));
  }

  void known(const SchemaField& row, Field& f, Message& m, int depth) {
    if (row.kind == Kind::message) {
      f.form = Field::Form::message;
      if (row.number == 100 && row.name == "layer" && ++layers_ > limits_.layers)
        fail(cat("more than ", limits_.layers, " layers"));
      const std::string_view bytes = chunk();
      const char* outer = end_;
      end_ = at_, at_ = bytes.data();
      const Field* old = row.repeated ? nullptr : m.find(row.number);
      if (old) f.message = old->message;  // protobuf merges a message that stands twice
      message(*row.message, f.message, depth + 1);
      end_ = outer;
    } else if (row.kind >= Kind::string) {
      f.form = Field::Form::bytes, f.bytes = chunk();
    } else {
      f.bits = row.kind == Kind::real     ? fixed(4)
               : row.kind == Kind::real64 ? fixed(8)
                                          : narrow(row.kind, varint());
      if (row.packed && (row.kind == Kind::real || row.kind == Kind::real64)) {
        const std::size_t size = row.kind == Kind::real ? 4 : 8;
        array(row, m).bytes.append(reinterpret_cast<const char*>(&f.bits), size);
        return;
      }
    }
    if (!row.repeated)
      std::erase_if(m.fields,
                    [&](const Field& o) { return o.number == row.number && o.form <= Field::Form::message; });
    m.fields.push_back(std::move(f));
  }

  /// A packed array: floats and doubles stay one run of bytes, integers become fields.
  void packed(const SchemaField& row, Field& f, Message& m) {
    const std::string_view bytes = chunk();
    const std::size_t size = row.kind == Kind::real ? 4 : row.kind == Kind::real64 ? 8 : 0;
    if (size && bytes.size() % size)
      fail(cat("'", row.name, "' holds ", bytes.size(), " bytes, no multiple of ", size));
    if (size && static_cast<std::int64_t>(bytes.size() / size) > limits_.elements)
      fail(cat("'", row.name, "' holds more than ", limits_.elements, " elements"));
    if (size && row.packed) return void(array(row, m).bytes.append(bytes));
    const char* outer = end_;
    end_ = at_, at_ = bytes.data();
    while (at_ < end_) {
      f.bits = size ? fixed(size) : narrow(row.kind, varint());
      m.fields.push_back(f);
    }
    end_ = outer;
  }
  static Field& array(const SchemaField& row, Message& m) {
    for (Field& f : m.fields)
      if (f.number == row.number && f.form == Field::Form::bytes) return f;
    Field f;
    f.number = row.number, f.form = Field::Form::bytes;
    m.fields.push_back(std::move(f));
    return m.fields.back();
  }

  const char *begin_, *at_, *end_;
  std::string file_;
  const Limits& limits_;
  std::int64_t layers_ = 0;
};

inline void put_varint(std::string& out, std::uint64_t v) {
  for (; v >= 128; v >>= 7) out += static_cast<char>(v | 128);
  out += static_cast<char>(v);
}
inline void put_tag(std::string& out, int number, int wire) {
  put_varint(out, static_cast<std::uint64_t>(number) << 3 | static_cast<std::uint64_t>(wire));
}
inline void put_chunk(std::string& out, int number, std::string_view bytes) {
  put_tag(out, number, 2);
  put_varint(out, bytes.size());
  out += bytes;
}
inline void put_fixed(std::string& out, std::uint64_t bits, std::size_t size) {
  out.append(reinterpret_cast<const char*>(&bits), size);
}

inline void write_message(std::string& out, const Message& m, const Schema& schema) {
  for (std::size_t i = 0; i < m.fields.size(); ++i) {
    const Field& f = m.fields[i];
    const SchemaField* row = schema.find(f.number);
    switch (f.form) {
      case Field::Form::text:
        throw SpecError(cat("field '", f.name, "' of ", schema.name,
                            " is unknown: it has no number to be written under"));
      case Field::Form::bytes:
      case Field::Form::chunk:
        put_chunk(out, f.number, f.bytes);
        break;
      case Field::Form::message: {
        std::string inner;
        if (row && row->message) write_message(inner, f.message, *row->message);
        put_chunk(out, f.number, inner);
        break;
      }
      case Field::Form::varint:
        put_tag(out, f.number, 0), put_varint(out, f.bits);
        break;
      case Field::Form::fixed32:
        put_tag(out, f.number, 5), put_fixed(out, f.bits, 4);
        break;
      case Field::Form::fixed64:
        put_tag(out, f.number, 1), put_fixed(out, f.bits, 8);
        break;
      case Field::Form::number: {
        const Kind kind = row ? row->kind : Kind::int64;
        if (row && row->packed && kind < Kind::real) {  // a run of integers becomes one packed field
          std::string run;
          for (; i < m.fields.size() && m.fields[i].number == f.number; ++i)
            put_varint(run, m.fields[i].bits);
          --i;
          put_chunk(out, f.number, run);
        } else if (kind == Kind::real) {
          put_tag(out, f.number, 5), put_fixed(out, f.bits, 4);
        } else if (kind == Kind::real64) {
          put_tag(out, f.number, 1), put_fixed(out, f.bits, 8);
        } else {
          put_tag(out, f.number, 0), put_varint(out, f.bits);
        }
      }
    }
  }
}

}  // namespace detail

/// Reads a message of any schema. Throws ParseError with file and byte.
inline Message parse_wire(std::string_view bytes, const Schema& schema, std::string_view file = {},
                          const Limits& limits = {}) {
  Message m;
  detail::WireReader(bytes, file, limits).message(schema, m);
  return m;
}
template <class M>
M parse_wire(std::string_view bytes, std::string_view file = {}, const Limits& limits = {}) {
  return from_message<M>(parse_wire(bytes, schema<M>(), file, limits));
}

inline std::string write_wire(const Message& m, const Schema& schema) {
  std::string out;
  detail::write_message(out, m, schema);
  return out;
}
template <class M>
std::string write_wire(const M& value) {
  return write_wire(to_message(value), schema<M>());
}

}  // namespace crema::inline CREMA_ABI

// SPDX-License-Identifier: Apache-2.0
// Printing a message as prototxt that protobuf's own reader takes for the same message. Numbers are the
// shortest that read back to the same bits.
#pragma once

#include <cmath>

#include "crema/spec/solver_spec.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

inline void print_quoted(std::string& out, std::string_view s) {
  constexpr char digits[] = "01234567";
  out += '"';
  for (const char ch : s) {
    const auto c = static_cast<unsigned char>(ch);
    if (c == '\n')
      out += "\\n";
    else if (c == '"' || c == '\\')
      out += '\\', out += ch;
    else if (c >= 32 && c < 127)
      out += ch;
    else
      out += '\\', out += digits[c >> 6], out += digits[c >> 3 & 7], out += digits[c & 7];
  }
  out += '"';
}

template <class T>
void print_real(std::string& out, T v) {
  if (std::isnan(v))
    out += "nan";
  else if (std::isinf(v))
    out += v < 0 ? "-inf" : "inf";
  else
    append(out, v);
}

inline void print_number(std::string& out, const SchemaField& row, std::uint64_t bits) {
  switch (row.kind) {
    case Kind::boolean:
      out += bits ? "true" : "false";
      break;
    case Kind::real:
      print_real(out, std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
      break;
    case Kind::real64:
      print_real(out, std::bit_cast<double>(bits));
      break;
    case Kind::uint32:
      append(out, static_cast<std::uint32_t>(bits));
      break;
    case Kind::enumeration:
      for (std::string_view names = row.names; !names.empty();)
        if (const EnumName n = next_name(names); n.value == static_cast<int>(bits))
          return void(out += n.name);
      [[fallthrough]];
    default:
      append(out, static_cast<std::int64_t>(bits));
  }
}

inline void print_message(std::string& out, const Message& m, const Schema& schema, int indent) {
  const std::string pad(static_cast<std::size_t>(indent) * 2, ' ');
  for (const Field& f : m.fields) {
    const SchemaField* row = schema.find(f.number);
    const std::string_view name = row ? row->name : f.name;
    const Schema* message = row ? row->message : f.schema;
    if (f.form == Field::Form::text) {
      out += cat(pad, f.name, f.bytes.starts_with('{') || f.bytes.starts_with('<') ? " " : "", f.bytes, "\n");
    } else if (f.form == Field::Form::message && message) {
      out += cat(pad, name, " {\n");
      print_message(out, f.message, *message, indent + 1);
      out += cat(pad, "}\n");
    } else if (!row || f.form >= Field::Form::message) {
      out += cat(pad, "# field ", f.number, " is unknown and was left out\n");
    } else if (f.form == Field::Form::bytes && is_array(*row)) {
      const std::size_t size = element_size(*row);
      for (std::size_t i = 0; i + size <= f.bytes.size(); i += size) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, f.bytes.data() + i, size);
        out += cat(pad, name, ": ");
        print_number(out, *row, bits);
        out += '\n';
      }
    } else {
      out += cat(pad, name, ": ");
      if (f.form == Field::Form::bytes)
        print_quoted(out, f.bytes);
      else
        print_number(out, *row, f.bits);
      out += '\n';
    }
  }
}

}  // namespace detail

inline std::string print_text(const Message& m, const Schema& schema) {
  std::string out;
  detail::print_message(out, m, schema, 0);
  return out;
}
/// A NetSpec, LayerSpec, SolverSpec, ... as prototxt.
template <class M>
std::string print(const M& value) {
  return print_text(to_message(value), schema<M>());
}

}  // namespace crema::inline CREMA_ABI

// SPDX-License-Identifier: Apache-2.0
// Prototxt: protobuf's text format, read with positions and written back.
//
//   NetSpec net = parse_net(text, "lenet.prototxt");
//   std::string again = print(net);
//
// A file with mistakes gives one ParseError with a line
// "file:line:column: what" for each, Limits::errors at most.
#pragma once

#include <cmath>

#include "crema/spec/message_builder.hpp"
#include "crema/spec/solver_spec.hpp"
#include "crema/spec/text_lexer.hpp"

namespace crema::inline CREMA_ABI {

struct TextOptions {
  Limits limits = {};
  bool keep_unknown = false;  // keep unknown fields as text instead of reporting them as errors
  std::vector<SchemaField> layer_fields = {};    // options of a user's layers: layer_field<O>()
  std::vector<std::string>* warnings = nullptr;  // gets one line for each unknown field that was kept
};

namespace detail {

class TextParser : TextLexer {
 public:
  TextParser(std::string_view text, std::string_view file, const TextOptions& options)
      : TextLexer(text, file, options.limits), options_(options) {}

  Message run(const Schema& schema) {
    Message m;
    try {
      fields(schema, m, "", token_.where, 0);
    } catch (const Stop&) {
    }
    if (!errors_.empty()) throw ParseError(errors_);
    return m;
  }

 private:
  // --- fields
  void fields(const Schema& schema, Message& m, std::string_view close, const Position& open, int depth) {
    MessageBuilder builder(schema, options_.layer_fields, m);
    for (;;) {
      if (token_.kind == Token::end) {
        if (!close.empty())
          stop(open, cat(schema.name, " begins here and is never closed: a '", close, "' is missing"));
        return;
      }
      if (!close.empty() && symbol(close.front())) return next();
      if (token_.kind != Token::identifier)
        stop(token_.where, cat("expected the name of a field of ", schema.name, ", found ", found()));
      const Token name = token_;
      next();
      if (const SchemaField* row = builder.find(name.text))
        known(schema, *row, builder, name.where, depth);
      else
        unknown(schema, name, builder);
      if (symbol(',') || symbol(';')) next();
    }
  }

  void known(const Schema& schema, const SchemaField& row, MessageBuilder& builder, const Position& where,
             int depth) {
    if (!row.repeated && builder.has(row))
      error(where, cat("'", row.name, "' stands twice in this ", schema.name, ": keep one"));
    if (row.kind == Kind::message) {
      accept(':');
      each(row, [&] { submessage(row, builder, where, depth); });
    } else {
      if (!accept(':')) error(token_.where, cat("expected ':' after '", row.name, "', found ", found()));
      each(row, [&] { scalar(row, builder, where); });
    }
  }
  template <class F>
  void each(const SchemaField& row, F&& one) {
    if (!symbol('[')) return one();
    const Position open = token_.where;
    if (!row.repeated) error(open, cat("'", row.name, "' takes one value, not a list"));
    next();
    while (!symbol(']')) {
      one();
      if (!accept(',') && !symbol(']')) stop(token_.where, cat("expected ',' or ']', found ", found()));
    }
    next();
  }
  void count_field(const Position& where) {
    if (++fields_ > limits_.fields) stop(where, cat("more than ", limits_.fields, " fields"));
  }
  void submessage(const SchemaField& row, MessageBuilder& builder, const Position& where, int depth) {
    if (depth + 1 > limits_.nesting) stop(where, "messages are nested too deeply");
    const char open = token_.kind == Token::symbol ? token_.text.front() : '\0';
    if (open != '{' && open != '<')
      stop(token_.where, cat("expected '{' after '", row.name, "', found ", found()));
    if (row.number == 100 && row.name == "layer" && ++layers_ > limits_.layers)
      stop(where, cat("more than ", limits_.layers, " layers"));
    const Position bracket = token_.where;
    next();
    count_field(where);
    fields(*row.message, builder.add(row, where).message, open == '{' ? "}" : ">", bracket, depth + 1);
  }

  // --- values
  void scalar(const SchemaField& row, MessageBuilder& builder, const Position& where) {
    if (row.kind >= Kind::string) return quoted_value(row, builder, where);
    const bool negative = accept('-');
    const Token value = token_;
    if (value.kind != Token::number && value.kind != Token::identifier) {
      error(value.where, cat("'", row.name, "' wants ", wants(row), ", found ", found()));
      return skip_value();
    }
    next();
    std::uint64_t bits = 0;
    if (!number(row, negative, value.text, bits))
      return error(value.where,
                   cat("'", row.name, "' wants ", wants(row), ", not ", negative ? "-" : "", value.text));
    if (!is_array(row)) {
      count_field(where);
      builder.add(row, where).bits = bits;
    } else {
      builder.add(row, where).bytes.append(reinterpret_cast<const char*>(&bits), element_size(row));
    }
  }
  void quoted_value(const SchemaField& row, MessageBuilder& builder, const Position& where) {
    if (token_.kind != Token::string) {
      error(token_.where, cat("'", row.name, "' wants a string in quotes, found ", found()));
      return skip_value();
    }
    count_field(where);
    std::string& bytes = builder.add(row, where).bytes;
    bytes.clear();
    for (; token_.kind == Token::string; next()) bytes += token_.value;
  }
  static std::string wants(const SchemaField& row) {
    std::string text;
    switch (row.kind) {
      case Kind::boolean:
        return "true or false";
      case Kind::enumeration:
        for (std::string_view names = row.names; !names.empty();)
          text += cat(text.empty() ? "one of " : ", ", next_name(names).name);
        return text;
      case Kind::real:
      case Kind::real64:
        return "a number";
      case Kind::uint32:
        return "a whole number from 0 to 4294967295";
      case Kind::int64:
        return "a whole number";
      default:
        return "a whole number from -2147483648 to 2147483647";
    }
  }

  static bool whole(std::string_view t, std::uint64_t& v) {
    const char* end = t.data() + t.size();
    int base = 10;
    if (t.size() > 2 && t[0] == '0' && (t[1] | 32) == 'x')
      base = 16, t.remove_prefix(2);
    else if (t.size() > 1 && t[0] == '0')
      base = 8;
    const auto r = std::from_chars(t.data(), end, v, base);
    return r.ec == std::errc{} && r.ptr == end;
  }
  /// Whether a decimal number that no double holds is too small, not too large: whether its first digit that
  /// is not 0 stands behind the point once the exponent has moved it.
  static bool tiny(std::string_view t) {
    const std::size_t e = std::min(t.find('e'), t.size()), point = std::min(t.find('.'), e);
    const std::size_t first = std::min(t.find_first_not_of("0."), e);
    std::int64_t exponent = 0;
    if (e < t.size() && !parse_number(t.substr(e + 1), exponent)) return t[e + 1] == '-';
    return static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first) + exponent <= 0;
  }
  static bool decimal(std::string_view t, double& v) {
    std::string low;
    for (const char c : t) low += static_cast<char>(c | (letter(c) ? 32 : 0));
    if (low == "inf" || low == "infinity") return v = HUGE_VAL, true;
    if (low == "nan") return v = std::nan(""), true;
    if (std::uint64_t u; low.starts_with("0x") || (low.size() > 1 && low[0] == '0' &&
                                                   low.find_first_not_of("01234567") == std::string::npos))
      return whole(t, u) ? (v = static_cast<double>(u), true) : false;
    if (low.ends_with('f')) low.pop_back();
    const auto r = std::from_chars(low.data(), low.data() + low.size(), v);
    if (r.ec == std::errc::result_out_of_range)
      v = tiny(low) ? 0 : HUGE_VAL;
    else if (r.ec != std::errc{})
      return false;
    return r.ptr == low.data() + low.size();
  }
  static bool number(const SchemaField& row, bool negative, std::string_view t, std::uint64_t& bits) {
    std::uint64_t u = 0;
    const auto fits = [&](std::uint64_t low, std::uint64_t high) {  // |least|, greatest
      if (!whole(t, u) || u > (negative ? low : high)) return false;
      bits = negative ? ~u + 1 : u;
      return true;
    };
    switch (row.kind) {
      case Kind::int32:
        return fits(std::uint64_t{1} << 31, (std::uint64_t{1} << 31) - 1);
      case Kind::int64:
        return fits(std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1);
      case Kind::uint32:
        return fits(0, 0xffffffffu);
      case Kind::boolean:
        bits = t == "true" || t == "t" || t == "True" || t == "1";
        return !negative && (bits || t == "false" || t == "f" || t == "False" || t == "0");
      case Kind::enumeration:
        for (std::string_view names = row.names; !names.empty();)
          if (const EnumName n = next_name(names);
              t == n.name || (whole(t, u) && u == static_cast<std::uint64_t>(n.value)))
            return bits = static_cast<std::uint64_t>(n.value), !negative;
        return false;
      default: {
        double v = 0;
        if (!decimal(t, v)) return false;
        if (negative) v = -v;
        if (row.kind == Kind::real64) return bits = std::bit_cast<std::uint64_t>(v), true;
        float f = static_cast<float>(v);
        std::string low(t);
        if (low.ends_with('f')) low.pop_back();
        float exact = 0;  // read as float, not by way of double: one rounding
        if (const auto r = std::from_chars(low.data(), low.data() + low.size(), exact);
            r.ec == std::errc{} && r.ptr == low.data() + low.size() && std::isfinite(f))
          f = negative ? -exact : exact;
        return bits = std::bit_cast<std::uint32_t>(f), true;
      }
    }
  }

  // --- what no schema knows
  void unknown(const Schema& schema, const Token& name, MessageBuilder& builder) {
    const std::size_t from = static_cast<std::size_t>(token_.text.data() - text_.data());
    accept(':');
    const std::size_t begin =
        token_.kind == Token::end ? from : static_cast<std::size_t>(token_.text.data() - text_.data());
    skip_value();
    const std::size_t to = last_end_;
    count_field(name.where);
    if (options_.keep_unknown) {
      Field f;
      f.form = Field::Form::text, f.name = std::string(name.text), f.where = name.where;
      f.bytes = std::string(text_.substr(std::min(from, begin), to > from ? to - std::min(from, begin) : 0));
      builder.keep(std::move(f));
      if (options_.warnings)
        options_.warnings->push_back(cat(file_, ":", name.where.line, ":", name.where.column,
                                         ": kept unknown field '", name.text, "' of ", schema.name));
      return;
    }
    const std::string near = builder.nearest_name(name.text);
    std::string hint = near.empty() ? "" : cat("; did you mean '", near, "'?");
    if (schema.name == "NetParameter" && name.text == "layers")
      hint = "; V1 nets are not read: upgrade it with Caffe's upgrade_net_proto_text";
    error(name.where, cat(schema.name, " has no field '", name.text, "'", hint));
  }
  /// Steps over one value: a scalar, a list or a message.
  void skip_value() {
    if (symbol('{') || symbol('<') || symbol('[')) {
      const Position open = token_.where;
      int depth = 0;
      do {
        if (token_.kind == Token::end) stop(open, "this bracket is never closed");
        if (symbol('{') || symbol('<') || symbol('[')) ++depth;
        if (symbol('}') || symbol('>') || symbol(']')) --depth;
        last_end_ = at_;
        next();
      } while (depth > 0);
      return;
    }
    accept('-');
    if (token_.kind == Token::end || symbol('}') || symbol('>') || symbol(']')) return;
    do last_end_ = at_, next();
    while (token_.kind == Token::string);
  }

  const TextOptions& options_;
  std::size_t last_end_ = 0;  // of the token before this one
  std::int64_t layers_ = 0, fields_ = 0;
};

}  // namespace detail

/// Reads a message of any schema.
inline Message parse_text(std::string_view text, const Schema& schema, std::string_view file = {},
                          const TextOptions& options = {}) {
  return detail::TextParser(text, file, options).run(schema);
}
inline NetSpec parse_net(std::string_view text, std::string_view file = {}, const TextOptions& options = {}) {
  NetSpec net = from_message<NetSpec>(parse_text(text, schema<NetSpec>(), file, options));
  net.file = file;
  return net;
}
inline SolverSpec parse_solver(std::string_view text, std::string_view file = {},
                               const TextOptions& options = {}) {
  SolverSpec s = from_message<SolverSpec>(parse_text(text, schema<SolverSpec>(), file, options));
  s.file = file;
  return s;
}

}  // namespace crema::inline CREMA_ABI

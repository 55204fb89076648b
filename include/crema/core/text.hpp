// SPDX-License-Identifier: Apache-2.0
// Text without streams: cat() joins strings and numbers, parse_number() reads one.
//
//   cat("expected ", 3, " bottoms, got ", spec.bottom.size())
//
// Floating-point numbers print in the shortest form that reads back to the same bits, in the "C" locale. The
// parts of a cat() are erased and joined by one plain function: there are hundreds of messages, each with
// types of its own.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

CREMA_INLINE void append(std::string& out, std::string_view text);
#if CREMA_BODIES
CREMA_INLINE void append(std::string& out, std::string_view text) { out += text; }
#endif
template <std::same_as<bool> B>
void append(std::string& out, B value) {
  out += value ? "true" : "false";
}  // no pointers
inline void append(std::string& out, char c) { out += c; }

namespace detail {

CREMA_INLINE void append_number(std::string& out, std::int64_t value);
CREMA_INLINE void append_number(std::string& out, std::uint64_t value);
CREMA_INLINE void append_number(std::string& out, float value);
CREMA_INLINE void append_number(std::string& out, double value);

/// A part of a cat(): a value and how to append it.
struct Piece {
  const void* value;
  void (*append)(std::string& out, const void* value);
};
CREMA_INLINE void append_literal(std::string& out, const void* text);
CREMA_INLINE std::string join(std::initializer_list<Piece> pieces);

#if CREMA_BODIES
template <class T>
void append_shortest(std::string& out, T value) {
  char buffer[32];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
CREMA_INLINE void append_number(std::string& out, std::int64_t value) { append_shortest(out, value); }
CREMA_INLINE void append_number(std::string& out, std::uint64_t value) { append_shortest(out, value); }
CREMA_INLINE void append_number(std::string& out, float value) { append_shortest(out, value); }
CREMA_INLINE void append_number(std::string& out, double value) { append_shortest(out, value); }

CREMA_INLINE void append_literal(std::string& out, const void* text) {
  out += static_cast<const char*>(text);
}
CREMA_INLINE std::string join(std::initializer_list<Piece> pieces) {
  std::string out;
  for (const Piece& p : pieces) p.append(out, p.value);
  return out;
}
#endif

}  // namespace detail

template <class T>
requires(std::integral<T> || std::floating_point<T>) &&
    (!std::same_as<T, bool>)&&(!std::same_as<T, char>)void append(std::string& out, T value) {
  if constexpr (std::floating_point<T>)
    detail::append_number(out, value);
  else if constexpr (std::signed_integral<T>)
    detail::append_number(out, std::int64_t{value});
  else
    detail::append_number(out, std::uint64_t{value});
}

namespace detail {

template <class T>
Piece piece(const T& value) {
  if constexpr (std::is_array_v<T>)  // of any length
    return {value, &append_literal};
  else
    return {&value, [](std::string& out, const void* v) { append(out, *static_cast<const T*>(v)); }};
}

}  // namespace detail

/// Joins strings, characters, numbers, bools and whatever else has an append().
template <class... Parts>
std::string cat(const Parts&... parts) {
  return detail::join({detail::piece(parts)...});
}

/// Reads all of `text` as a number; false when it is not one, is out of range, or has something behind it.
template <class T>
bool parse_number(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc{} && result.ptr == end && !text.empty();
}

}  // namespace crema

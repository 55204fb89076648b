// SPDX-License-Identifier: Apache-2.0
// Text without streams: cat() joins strings and numbers, parse_number() reads one.
//
//   cat("expected ", 3, " bottoms, got ", spec.bottom.size())
//
// Floating-point numbers print in the shortest form that reads back to the same bits, in the "C" locale.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

inline void append(std::string& out, std::string_view text) { out += text; }
template <std::same_as<bool> B>
void append(std::string& out, B value) {
  out += value ? "true" : "false";
}  // no pointers
inline void append(std::string& out, char c) { out += c; }

template <class T>
requires(std::integral<T> || std::floating_point<T>) &&
    (!std::same_as<T, bool>)&&(!std::same_as<T, char>)void append(std::string& out, T value) {
  char buffer[32];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (append(out, parts), ...);
  return out;
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

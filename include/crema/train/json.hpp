// SPDX-License-Identifier: Apache-2.0
// Json: one JSON object, written member by member.
//
//   Json().add("event", "step").add("iteration", 100).add("loss", 0.5).text()
//   // {"event":"step","iteration":100,"loss":0.5}
//
// Numbers print in the shortest form that reads back to the same bits; JSON has no NaN and no infinity: they are
// null. Text is UTF-8; bytes that are not go through as they are.
#pragma once

#include <cmath>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

class Json {
 public:
  Json() = default;

  template <class V>
  Json& add(std::string_view key, const V& value) {
    text_ += text_.size() > 1 ? "," : "";
    quote(text_, key);
    text_ += ':';
    put(text_, value);
    return *this;
  }
  std::string text() const { return text_ + "}"; }

 private:
  static void quote(std::string& out, std::string_view s) {
    static constexpr char digits[] = "0123456789abcdef";
    out += '"';
    for (const char c : s) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\')
        out += '\\', out += c;
      else if (c == '\n')
        out += "\\n";
      else if (code < 0x20)
        out += "\\u00", out += digits[code >> 4], out += digits[code & 15];
      else
        out += c;
    }
    out += '"';
  }
  template <class V>
  static void put(std::string& out, const V& value) {
    if constexpr (std::is_convertible_v<const V&, std::string_view>)
      quote(out, value);
    else if constexpr (std::is_floating_point_v<V>)
      std::isfinite(value) ? append(out, value) : append(out, "null");
    else if constexpr (std::is_arithmetic_v<V>)
      append(out, value);
    else if constexpr (std::is_same_v<V, Json>)
      out += value.text();
    else {
      out += '[';
      bool first = true;
      for (const auto& element : value) {
        if (!first) out += ',';
        first = false;
        put(out, element);
      }
      out += ']';
    }
  }

  std::string text_ = "{";
};

}  // namespace crema

// SPDX-License-Identifier: Apache-2.0
// The tokens of prototxt: identifiers, numbers, strings and symbols with their positions; the lower half of
// spec/text_format.hpp. Mistakes are collected, several to one ParseError.
#pragma once

#include "crema/core/limits.hpp"
#include "crema/spec/message.hpp"

namespace crema::inline CREMA_ABI::detail {

class TextLexer {
 protected:
  TextLexer(std::string_view text, std::string_view file, const Limits& limits)
      : text_(text), file_(file.empty() ? "prototxt" : file), limits_(limits) {
    if (static_cast<std::int64_t>(text.size()) > limits.bytes)
      throw ParseError(cat(file_, ": ", text.size(), " bytes are more than the limit of ", limits.bytes));
    next();
  }

  struct Stop {};  // the structure is broken, or there are too many errors: nothing after this can be trusted
  struct Token {
    enum Kind : std::uint8_t { end, identifier, number, string, symbol } kind = end;
    std::string_view text;
    std::string value;  // of a string, unescaped
    Position where;
  };

  void error(const Position& at, const std::string& what) {
    errors_ += cat(errors_.empty() ? "" : "\n", file_, ":", at.line, ":", at.column, ": ", what);
    if (++error_count_ >= limits_.errors) throw Stop{};
  }
  [[noreturn]] void stop(const Position& at, const std::string& what) {
    error(at, what);
    throw Stop{};
  }

  // --- tokens
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void advance() {
    if (text_[at_++] == '\n')
      ++line_, column_ = 1;
    else
      ++column_;
  }
  static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
  static bool digit(char c) { return c >= '0' && c <= '9'; }

  void next() {
    for (;;) {
      const char c = peek();
      if (at_ < text_.size() && (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'))
        advance();
      else if (c == '#')
        while (at_ < text_.size() && peek() != '\n') advance();
      else
        break;
    }
    token_ = {};
    token_.where = {line_, column_};
    if (at_ >= text_.size()) return;
    const std::size_t from = at_;
    const char c = peek();
    if (letter(c)) {
      token_.kind = Token::identifier;
      while (letter(peek()) || digit(peek())) advance();
    } else if (digit(c) || (c == '.' && digit(peek(1)))) {
      token_.kind = Token::number;
      while (letter(peek()) || digit(peek()) || peek() == '.' ||
             ((peek() == '+' || peek() == '-') && exponent(from)))
        advance();
    } else if (c == '"' || c == '\'') {
      token_.kind = Token::string;
      quoted(c);
    } else {
      token_.kind = Token::symbol;
      advance();
    }
    token_.text = text_.substr(from, at_ - from);
  }
  bool exponent(std::size_t from) const {
    const char before = text_[at_ - 1];
    return (before == 'e' || before == 'E') &&
           !(text_[from] == '0' && at_ - from > 1 && (text_[from + 1] | 32) == 'x');
  }

  void quoted(char quote) {
    const Position start{line_, column_};
    advance();
    while (peek() != quote) {
      if (at_ >= text_.size() || peek() == '\n') stop(start, "this string is not closed on its line");
      if (peek() != '\\') {
        token_.value += peek(), advance();
        continue;
      }
      advance();
      const char c = peek();
      if (at_ >= text_.size()) stop(start, "this string is not closed");
      constexpr std::string_view from = "abfnrtv\\'\"?", to = "\a\b\f\n\r\t\v\\'\"?";
      if (const std::size_t i = from.find(c); i != std::string_view::npos) {
        token_.value += to[i], advance();
      } else if (c >= '0' && c <= '7') {
        int v = 0;
        for (int k = 0; k < 3 && peek() >= '0' && peek() <= '7'; ++k) v = v * 8 + (peek() - '0'), advance();
        token_.value += static_cast<char>(v);
      } else if (c == 'x' || c == 'X') {
        advance();
        int v = 0, k = 0;
        for (; k < 2 && hex(peek()) >= 0; ++k) v = v * 16 + hex(peek()), advance();
        if (k == 0) error({line_, column_}, "\\x wants one or two hexadecimal digits");
        token_.value += static_cast<char>(v);
      } else if (c == 'u' || c == 'U') {
        unicode(c == 'u' ? 4 : 8);
      } else {
        error({line_, column_}, cat("unknown escape \\", c));
        advance();
      }
    }
    advance();
  }
  /// \uXXXX and \UXXXXXXXX, as UTF-8.
  void unicode(int digits) {
    const Position at{line_, column_};
    advance();
    std::uint32_t v = 0;
    int k = 0;
    for (; k < digits && hex(peek()) >= 0; ++k)
      v = v * 16 + static_cast<std::uint32_t>(hex(peek())), advance();
    if (k < digits || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
      return error(at, cat("this wants ", digits, " hexadecimal digits of a Unicode character"));
    const int more = v < 0x80 ? 0 : v < 0x800 ? 1 : v < 0x10000 ? 2 : 3;
    constexpr unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    token_.value += static_cast<char>(lead[more] | v >> (6 * more));
    for (int i = more; i-- > 0;) token_.value += static_cast<char>(0x80 | (v >> (6 * i) & 0x3f));
  }
  static int hex(char c) {
    return digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  }

  bool symbol(char c) const { return token_.kind == Token::symbol && token_.text.front() == c; }
  bool accept(char c) {
    if (!symbol(c)) return false;
    next();
    return true;
  }
  std::string found() const {
    return token_.kind == Token::end ? "the end of the file" : cat("'", token_.text, "'");
  }

  std::string_view text_;
  std::string file_, errors_;
  const Limits& limits_;
  std::size_t at_ = 0;
  int line_ = 1, column_ = 1, error_count_ = 0;
  Token token_;
};

}  // namespace crema::inline CREMA_ABI::detail

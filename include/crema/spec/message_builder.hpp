// SPDX-License-Identifier: Apache-2.0
// MessageBuilder: a message while a reader fills it. It knows the message's table, a user's rows of
// LayerParameter included, and where each field stands that may stand once, so that reading takes linear time
// whatever the input does.
#pragma once

#include "crema/core/limits.hpp"
#include "crema/spec/schema.hpp"

namespace crema::inline CREMA_ABI::detail {

class MessageBuilder {
 public:
  using Rows = std::vector<SchemaField>;

  MessageBuilder(const Schema& schema, const Rows& layer_fields, Message& m)
      : schema_(schema), more_(schema.name == "LayerParameter" ? layer_fields : no_rows()), message_(m) {
    at_.assign(schema_.fields.size() + more_.size(), -1);
    for (std::size_t i = 0; i < m.fields.size();
         ++i)  // a message that goes on: protobuf merges two of a kind
      if (const SchemaField* row = find(m.fields[i].number); row && m.fields[i].form <= Field::Form::message)
        at_[index(*row)] = static_cast<std::int64_t>(i);
  }

  const SchemaField* find(int number) const {
    for (const SchemaField& f : more_)
      if (f.number == number) return &f;
    return schema_.find(number);
  }
  const SchemaField* find(std::string_view name) const {
    for (const SchemaField& f : more_)
      if (f.name == name) return &f;
    return schema_.find(name);
  }
  std::string nearest_name(std::string_view wrong) const {
    std::vector<std::string_view> names;
    for (const SchemaField& f : schema_.fields) names.push_back(f.name);
    for (const SchemaField& f : more_) names.push_back(f.name);
    return nearest(wrong, names);
  }

  bool has(const SchemaField& row) const { return at_[index(row)] >= 0; }

  /// A new field of the row; where it may stand once, or is an array, the one that stands already. The
  /// reference is good until the next call.
  Field& add(const SchemaField& row, const Position& where = {}) {
    std::int64_t& at = at_[index(row)];
    if (at >= 0 && (!row.repeated || is_array(row))) return message_.fields[static_cast<std::size_t>(at)];
    at = static_cast<std::int64_t>(message_.fields.size());
    Field& f = message_.add(row.number);
    f.where = where;
    if (row.kind == Kind::message)
      f.form = Field::Form::message;
    else if (row.kind >= Kind::string || is_array(row))
      f.form = Field::Form::bytes;
    if (index(row) >= schema_.fields.size()) f.name = row.name, f.schema = row.message;
    return f;
  }
  void keep(Field unknown) { message_.fields.push_back(std::move(unknown)); }

 private:
  static const Rows& no_rows() {
    static const Rows none;
    return none;
  }
  std::size_t index(const SchemaField& row) const {
    for (std::size_t i = 0; i < more_.size(); ++i)
      if (&row == &more_[i]) return schema_.fields.size() + i;
    return static_cast<std::size_t>(&row - schema_.fields.data());
  }

  const Schema& schema_;
  const Rows& more_;
  Message& message_;
  std::vector<std::int64_t> at_;  // by row; -1: it does not stand yet
};

}  // namespace crema::inline CREMA_ABI::detail

// SPDX-License-Identifier: Apache-2.0
// Schema: the field table of one message. From it come prototxt and binary reading and printing, errors for
// unknown fields, and the conversion to a C++ struct and back. A user's layer brings its own:
//
//   struct HardSigmoidOptions { float slope = 0.2f; };
//   template <> inline const Schema& crema::schema<HardSigmoidOptions>() {
//     static const Schema s{"HardSigmoidParameter", {field(1, "slope", &HardSigmoidOptions::slope)}};
//     return s;
//   }
//
// The names of an enumeration stand beside it, in its namespace:
//
//   enum class Bound { soft, hard };
//   constexpr std::string_view enum_names(Bound) { return "SOFT=0,HARD=1"; }
//
// The default of a field is its member's initialiser. A plain member is written when it differs from its
// default, a std::optional when it has a value, a vector always. A struct with a member `Message other` keeps
// there what its table does not know.
#pragma once

#include <cstring>
#include <initializer_list>
#include <optional>
#include <type_traits>

#include "crema/spec/message.hpp"

namespace crema::inline CREMA_ABI {

enum class Kind : std::uint8_t {
  int32,
  int64,
  uint32,
  boolean,
  enumeration,
  real,
  real64,
  string,
  bytes,
  message
};

struct EnumName {
  std::string_view name;
  int value = 0;
};
/// Takes the first of "A=0,B=1" off the front.
inline EnumName next_name(std::string_view& names) {
  const std::string_view one = names.substr(0, names.find(','));
  names.remove_prefix(std::min(one.size() + 1, names.size()));
  const std::size_t equals = one.find('=');
  EnumName n{one.substr(0, equals)};
  parse_number(one.substr(equals + 1), n.value);
  return n;
}

struct Schema;
struct SchemaField {
  int number = 0;
  std::string_view name;
  Kind kind = Kind::int32;
  bool repeated = false, packed = false;
  std::string_view names = {};      // of an enumeration: "A=0,B=1"
  const Schema* message = nullptr;  // of a message
  // The member of a C++ struct behind it; null where the table has no struct.
  std::size_t offset = 0;
  const void* defaults = nullptr;  // an object whose members have their default values
  void (*set)(void* member, const Field&) = nullptr;
  void (*get)(const void* member, const void* default_member, const SchemaField&, Message& out) = nullptr;
};

struct Schema {
  std::string_view name;
  std::vector<SchemaField> fields;

  const SchemaField* find(int number) const {
    for (const SchemaField& f : fields)
      if (f.number == number) return &f;
    return nullptr;
  }
  const SchemaField* find(std::string_view field_name) const {
    for (const SchemaField& f : fields)
      if (f.name == field_name) return &f;
    return nullptr;
  }
};

/// The field table of a struct; specialised beside each struct.
template <class M>
const Schema& schema();

/// Whether all elements of the field are one run of bytes in a Message: repeated float and double.
inline bool is_array(const SchemaField& row) {
  return row.repeated && (row.kind == Kind::real || row.kind == Kind::real64);
}
/// The bytes of one element of an array.
inline std::size_t element_size(const SchemaField& row) { return row.kind == Kind::real ? 4 : 8; }

/// Fills a struct from a message; what the table does not know goes to `other`, if there is one.
CREMA_INLINE_HOT void assign(void* object, const Schema& s, const Message& m, Message* other = nullptr);
#if CREMA_BODIES
CREMA_INLINE_HOT void assign(void* object, const Schema& s, const Message& m, Message* other) {
  for (const Field& f : m.fields) {
    const SchemaField* row = f.form <= Field::Form::message ? s.find(f.number) : nullptr;
    if (row && row->set)
      row->set(static_cast<char*>(object) + row->offset, f);
    else if (other)
      other->fields.push_back(f);
  }
}
#endif
/// The message of a struct, and behind it what its table does not know.
CREMA_INLINE_HOT Message collect(const void* object, const Schema& s, const Message* other = nullptr);
#if CREMA_BODIES
CREMA_INLINE_HOT Message collect(const void* object, const Schema& s, const Message* other) {
  Message out = {};
  for (const SchemaField& row : s.fields)
    if (row.get)
      row.get(static_cast<const char*>(object) + row.offset,
              static_cast<const char*>(row.defaults) + row.offset, row, out);
  if (other)
    for (const Field& f : other->fields) out.fields.push_back(f);
  return out;
}
#endif

template <class M>
M from_message(const Message& m) {
  M value;
  if constexpr (requires { value.other; })
    assign(&value, schema<M>(), m, &value.other);
  else
    assign(&value, schema<M>(), m);
  return value;
}
template <class M>
Message to_message(const M& value) {
  if constexpr (requires { value.other; })
    return collect(&value, schema<M>(), &value.other);
  else
    return collect(&value, schema<M>());
}

namespace detail {

template <class V>
struct is_optional : std::false_type {};
template <class V>
struct is_optional<std::optional<V>> : std::true_type {};
template <class V>
struct is_vector : std::false_type {};
template <class V>
struct is_vector<std::vector<V>> : std::true_type {};
template <class V>
struct element {
  using type = V;
};
template <class V>
struct element<std::optional<V>> {
  using type = V;
};
template <class V>
struct element<std::vector<V>> {
  using type = V;
};

template <class V>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<V, bool>)
    return Kind::boolean;
  else if constexpr (std::is_enum_v<V>)
    return Kind::enumeration;
  else if constexpr (std::is_same_v<V, float>)
    return Kind::real;
  else if constexpr (std::is_same_v<V, double>)
    return Kind::real64;
  else if constexpr (std::is_same_v<V, std::uint32_t>)
    return Kind::uint32;
  else if constexpr (std::is_same_v<V, std::int64_t>)
    return Kind::int64;
  else if constexpr (std::is_integral_v<V>)
    return Kind::int32;
  else if constexpr (std::is_same_v<V, std::string>)
    return Kind::string;
  else
    return Kind::message;
}

template <class V>
V field_value(const Field& f) {
  if constexpr (std::is_same_v<V, float>)
    return std::bit_cast<float>(static_cast<std::uint32_t>(f.bits));
  else if constexpr (std::is_same_v<V, double>)
    return std::bit_cast<double>(f.bits);
  else if constexpr (std::is_same_v<V, bool>)
    return f.bits != 0;
  else if constexpr (std::is_enum_v<V>)
    return static_cast<V>(static_cast<std::int64_t>(f.bits));
  else if constexpr (std::is_integral_v<V>)
    return static_cast<V>(f.bits);
  else if constexpr (std::is_same_v<V, std::string>)
    return f.bytes;
  else {
    V v = from_message<V>(f.message);
    if constexpr (requires { v.where; }) v.where = f.where;
    return v;
  }
}

template <class V>
void set_value(Field& f, const V& v) {
  if constexpr (std::is_same_v<V, float>)
    f.bits = std::bit_cast<std::uint32_t>(v);
  else if constexpr (std::is_same_v<V, double>)
    f.bits = std::bit_cast<std::uint64_t>(v);
  else if constexpr (std::is_same_v<V, std::string>)
    f.form = Field::Form::bytes, f.bytes = v;
  else if constexpr (kind_of<V>() == Kind::message)
    f.form = Field::Form::message, f.message = to_message(v);
  else
    f.bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(v));
}

/// Reading and writing one member of type V: instantiated per type, not per member.
template <class V>
struct member {
  using Element = typename element<V>::type;
  static constexpr bool array =
      std::is_same_v<V, std::vector<float>> || std::is_same_v<V, std::vector<double>>;

  CREMA_COLD static void set(void* at, const Field& f) {
    V& v = *static_cast<V*>(at);
    if constexpr (array) {
      if (f.form == Field::Form::bytes) {  // one copy
        const std::size_t old = v.size(), n = f.bytes.size() / sizeof(Element);
        v.resize(old + n);
        if (n) std::memcpy(v.data() + old, f.bytes.data(), n * sizeof(Element));
        return;
      }
    }
    if constexpr (is_vector<V>::value)
      v.push_back(field_value<Element>(f));
    else
      v = field_value<Element>(f);
  }

  CREMA_COLD static void get(const void* at, const void* default_at, const SchemaField& row, Message& out) {
    const V& v = *static_cast<const V*>(at);
    if constexpr (array) {
      if (v.empty()) return;
      Field& f = out.add(row.number);
      f.form = Field::Form::bytes;
      f.bytes.assign(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(Element));
    } else if constexpr (is_vector<V>::value) {
      for (std::size_t i = 0; i < v.size(); ++i) set_value<Element>(out.add(row.number), v[i]);
    } else if constexpr (is_optional<V>::value) {
      if (v) set_value<Element>(out.add(row.number), *v);
    } else {
      if (v != *static_cast<const V*>(default_at)) set_value<Element>(out.add(row.number), v);
    }
  }
};

/// What a row takes from its member's type.
struct MemberType {
  Kind kind;
  bool repeated;
  std::string_view names;
  const Schema& (*message)();
  void (*set)(void*, const Field&);
  void (*get)(const void*, const void*, const SchemaField&, Message&);
};
template <class V>
constexpr MemberType member_type() {
  using Element = typename element<V>::type;
  MemberType t{kind_of<Element>(), is_vector<V>::value, {}, nullptr, &member<V>::set, &member<V>::get};
  if constexpr (std::is_enum_v<Element>) t.names = enum_names(Element{});
  if constexpr (kind_of<Element>() == Kind::message) t.message = &schema<Element>;
  return t;
}

template <class M>
const M& defaults() {
  static const M d{};
  return d;
}

CREMA_COLD inline SchemaField make_field(int number, std::string_view name, bool packed, const MemberType& t,
                                         const void* member, const void* defaults) {
  SchemaField f{number, name, t.kind, t.repeated, packed, t.names};
  if (t.message) f.message = &t.message();
  f.offset = static_cast<std::size_t>(static_cast<const char*>(member) - static_cast<const char*>(defaults));
  f.defaults = defaults, f.set = t.set, f.get = t.get;
  return f;
}

}  // namespace detail

/// One row of a table, kind and rule taken from the member's type.
template <class M, class V>
SchemaField field(int number, std::string_view name, V M::*member, bool packed = false) {
  static constexpr detail::MemberType type = detail::member_type<V>();
  const M& d = detail::defaults<M>();
  return detail::make_field(number, name, packed, type, &(d.*member), &d);
}

/// The name nearest to a misspelt one, or nothing when none is near.
CREMA_COLD inline std::string nearest(std::string_view wrong, const std::vector<std::string_view>& names) {
  std::string_view best;
  std::size_t least = wrong.size() / 3 + 2;
  for (const std::string_view n : names) {
    std::vector<std::size_t> row(n.size() + 1);  // Levenshtein's distance, one row at a time
    for (std::size_t j = 0; j <= n.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= wrong.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= n.size(); ++j) {
        const std::size_t substitute = diagonal + (wrong[i - 1] != n[j - 1]);
        diagonal = row[j];
        row[j] = std::min(substitute, std::min(row[j], row[j - 1]) + 1);
      }
    }
    if (row[n.size()] < least) least = row[n.size()], best = n;
  }
  return std::string(best);
}

}  // namespace crema::inline CREMA_ABI

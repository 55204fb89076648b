// SPDX-License-Identifier: Apache-2.0
// protobuf at run time: Caffe's messages from caffe_subset.proto, filled at random, as an oracle for spec/.
#pragma once

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/unknown_field_set.h>

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "crema/core/random.hpp"

namespace oracle {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

/// Reads the part of the .proto language that caffe_subset.proto needs: messages and enums of plain fields.
/// (The parser of protobuf itself is not among libprotobuf's public headers.)
class ProtoFile {
 public:
  explicit ProtoFile(const std::string& path) {
    std::FILE* f = std::fopen(path.c_str(), "rb");
    if (!f) throw std::runtime_error("cannot open " + path);
    for (int c; (c = std::fgetc(f)) != EOF;) text_ += static_cast<char>(c);
    std::fclose(f);
    next();
  }
  void read(google::protobuf::FileDescriptorProto& file) {
    while (!token_.empty()) {
      if (token_ == "message")
        message(*file.add_message_type());
      else if (token_ == "enum")
        enumeration(*file.add_enum_type());
      else  // syntax, package, import
        while (take() != ";") {
        }
    }
  }

 private:
  void next() {
    const auto is_word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_.-", c);
    };
    while (at_ < text_.size() && (std::isspace(static_cast<unsigned char>(text_[at_])) || text_[at_] == '/'))
      at_ = text_[at_] == '/' ? text_.find('\n', at_) : at_ + 1;
    const std::size_t from = at_;
    if (at_ >= text_.size())
      ;
    else if (text_[at_] == '"')
      at_ = text_.find('"', at_ + 1) + 1;
    else if (is_word(text_[at_]))
      while (is_word(text_[at_])) ++at_;
    else
      ++at_;
    token_ = text_.substr(from, at_ - from);
  }
  std::string take() {
    if (token_.empty()) throw std::runtime_error("the .proto file ends too early");
    const std::string t = token_;
    next();
    return t;
  }
  void take(const char* expected) {
    if (const std::string t = take(); t != expected)
      throw std::runtime_error(std::string("expected ") + expected + ", not " + t);
  }
  void enumeration(google::protobuf::EnumDescriptorProto& e) {
    take("enum"), e.set_name(take()), take("{");
    while (token_ != "}") {
      auto& v = *e.add_value();
      v.set_name(take()), take("="), v.set_number(std::stoi(take())), take(";");
    }
    take("}");
  }
  void message(google::protobuf::DescriptorProto& m) {
    take("message"), m.set_name(take()), take("{");
    while (token_ != "}") {
      if (token_ == "enum")
        enumeration(*m.add_enum_type());
      else
        field(*m.add_field());
    }
    take("}");
  }
  void field(google::protobuf::FieldDescriptorProto& f) {
    using P = google::protobuf::FieldDescriptorProto;
    constexpr std::pair<const char*, P::Type> types[] = {
        {"int32", P::TYPE_INT32},   {"int64", P::TYPE_INT64}, {"uint32", P::TYPE_UINT32},
        {"float", P::TYPE_FLOAT},   {"bool", P::TYPE_BOOL},   {"double", P::TYPE_DOUBLE},
        {"string", P::TYPE_STRING}, {"bytes", P::TYPE_BYTES}};
    f.set_label(take() == "repeated" ? P::LABEL_REPEATED : P::LABEL_OPTIONAL);
    const std::string type = take();
    f.set_type_name(type);  // of a message or an enum: the descriptor pool finds out which
    for (const auto& [name, value] : types)
      if (type == name) f.clear_type_name(), f.set_type(value);
    f.set_name(take()), take("="), f.set_number(std::stoi(take()));
    if (token_ == "[") {
      take();
      const std::string option = take();
      take("=");
      std::string value = take();
      if (value.front() == '"') value = value.substr(1, value.size() - 2);
      if (option == "packed")
        f.mutable_options()->set_packed(value == "true");
      else
        f.set_default_value(value);
      take("]");
    }
    take(";");
  }

  std::string text_, token_;
  std::size_t at_ = 0;
};

class Caffe {
 public:
  Caffe() {
    google::protobuf::FileDescriptorProto file;
    file.set_name("caffe_subset.proto"), file.set_package("crema_test"), file.set_syntax("proto2");
    for (const char* name : {"caffe_layers.proto", "caffe_subset.proto"})
      ProtoFile(std::string(CREMA_TEST_DIR "/spec/") + name).read(file);
    if (!pool_.BuildFile(file)) throw std::runtime_error("protobuf refuses caffe_subset.proto");
  }
  const Descriptor& descriptor(const std::string& name) const {
    const Descriptor* d = pool_.FindMessageTypeByName("crema_test." + name);
    if (!d) throw std::runtime_error("no message " + name);
    return *d;
  }
  std::unique_ptr<Message> make(const std::string& name) {
    return std::unique_ptr<Message>(factory_.GetPrototype(&descriptor(name))->New());
  }
  std::unique_ptr<Message> from_wire(const std::string& name, const std::string& bytes) {
    auto m = make(name);
    return m->ParseFromString(bytes) ? std::move(m) : nullptr;
  }
  std::unique_ptr<Message> from_text(const std::string& name, const std::string& text) {
    auto m = make(name);
    return google::protobuf::TextFormat::ParseFromString(text, m.get()) ? std::move(m) : nullptr;
  }

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
};

/// Bytes that are equal for equal messages: presence, NaNs and unknown fields count.
inline std::string canonical(const Message& m) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    m.SerializeToCodedStream(&out);
  }
  return bytes;
}
inline std::string text(const Message& m) {
  std::string s;
  google::protobuf::TextFormat::PrintToString(m, &s);
  return s;
}

/// Takes every scalar away that has its default value: what is left survives a struct with plain members.
/// With `messages`, messages that are empty then go too.
inline void drop_defaults(Message& m, bool messages = false) {
  const Reflection& r = *m.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  r.ListFields(m, &fields);
  for (const FieldDescriptor* f : fields) {
    if (f->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      for (int i = 0; i < (f->is_repeated() ? r.FieldSize(m, f) : 0); ++i)
        drop_defaults(*r.MutableRepeatedMessage(&m, f, i), messages);
      if (f->is_repeated()) continue;
      drop_defaults(*r.MutableMessage(&m, f), messages);
      if (messages && r.GetMessage(m, f).ByteSizeLong() == 0) r.ClearField(&m, f);
      continue;
    }
    if (f->is_repeated()) continue;
    bool is_default = false;
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        is_default = r.GetInt32(m, f) == f->default_value_int32();
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        is_default = r.GetInt64(m, f) == f->default_value_int64();
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        is_default = r.GetUInt32(m, f) == f->default_value_uint32();
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        is_default = r.GetFloat(m, f) == f->default_value_float();
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        is_default = r.GetBool(m, f) == f->default_value_bool();
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        is_default = r.GetEnum(m, f) == f->default_value_enum();
        break;
      default:
        is_default = r.GetString(m, f) == f->default_value_string();
    }
    if (is_default) r.ClearField(&m, f);
  }
}

/// Fills messages at random, edge values among them.
class Random {
 public:
  explicit Random(std::string_view name, std::uint64_t index) : key_(crema::random_key(index, name)) {}

  std::uint32_t next() {
    if (at_ == 4) block_ = crema::philox({counter_++, 0, 0, 0}, key_), at_ = 0;
    return block_[at_++];
  }
  std::uint32_t below(std::uint32_t n) { return next() % n; }

  void fill(Message& m) {
    const Descriptor& d = *m.GetDescriptor();
    const Reflection& r = *m.GetReflection();
    for (int i = 0; i < d.field_count(); ++i) {
      const FieldDescriptor* f = d.field(i);
      const bool nested = f->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (below(d.field_count() > 40 && nested && !f->is_repeated() ? 6 : 2)) continue;
      if (!f->is_repeated()) {
        nested ? fill(*r.MutableMessage(&m, f)) : set(m, r, f);
        continue;
      }
      for (std::uint32_t n = below(nested ? 4 : 5); n > 0; --n)
        nested ? fill(*r.AddMessage(&m, f)) : add(m, r, f);
    }
  }

  /// Adds fields of numbers that no table knows, here and in the messages inside; returns how many.
  std::size_t add_unknown(Message& m) {
    const Reflection& r = *m.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    r.ListFields(m, &fields);
    std::size_t added = 0;
    for (const FieldDescriptor* f : fields) {
      if (f->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
      if (!f->is_repeated()) added += add_unknown(*r.MutableMessage(&m, f));
      for (int i = 0; f->is_repeated() && i < r.FieldSize(m, f); ++i)
        added += add_unknown(*r.MutableRepeatedMessage(&m, f, i));
    }
    google::protobuf::UnknownFieldSet& unknown = *r.MutableUnknownFields(&m);
    for (std::uint32_t n = below(3); n > 0; --n, ++added) {
      const int number = static_cast<int>(200 + below(60000));
      switch (below(4)) {
        case 0:
          unknown.AddVarint(number, static_cast<std::uint64_t>(int64()));
          break;
        case 1:
          unknown.AddFixed32(number, next());
          break;
        case 2:
          unknown.AddFixed64(number, std::uint64_t{next()} << 32);
          break;
        default:
          unknown.AddLengthDelimited(number, bytes());
      }
    }
    return added;
  }

  std::int32_t int32() {
    constexpr std::int32_t edge[] = {
        0, 1, -1, 5, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
    return below(2) ? edge[below(6)] : static_cast<std::int32_t>(next());
  }
  std::int64_t int64() {
    if (below(2)) return int32();
    return static_cast<std::int64_t>(std::uint64_t{next()} << 32 | next());
  }
  float real() {
    constexpr float inf = std::numeric_limits<float>::infinity();
    const float edge[] = {0,      -0.0f,         1,   0.1f, -0.75f,       1e-8f, 16777216,
                          1e-45f, 3.4028235e38f, inf, -inf, std::nanf("")};
    if (below(2)) return edge[below(12)];
    const float f = std::bit_cast<float>(next());
    return std::isnan(f) ? 0.5f : f;
  }
  double real64() {
    const double edge[] = {5e-324, 1.7976931348623157e308, 0.1, -1e-300};
    if (below(4) == 0) return edge[below(4)];
    const double d = std::bit_cast<double>(std::uint64_t{next()} << 32 | next());
    return below(2) ? static_cast<double>(real()) : std::isnan(d) ? 0.25 : d;
  }
  std::string bytes() {
    std::string s;
    for (std::uint32_t n = below(8); n > 0; --n)
      s += below(2) ? static_cast<char>(next()) : "\"'\\\n\t\0a{#7"[below(10)];
    return s;
  }

 private:
  void set(Message& m, const Reflection& r, const FieldDescriptor* f) {
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return r.SetInt32(&m, f, int32());
      case FieldDescriptor::CPPTYPE_INT64:
        return r.SetInt64(&m, f, int64());
      case FieldDescriptor::CPPTYPE_UINT32:
        return r.SetUInt32(&m, f, static_cast<std::uint32_t>(int32()));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return r.SetFloat(&m, f, real());
      case FieldDescriptor::CPPTYPE_BOOL:
        return r.SetBool(&m, f, below(2));
      case FieldDescriptor::CPPTYPE_ENUM:
        return r.SetEnum(&m, f, value_of(f));
      default:
        return r.SetString(&m, f, bytes());
    }
  }
  void add(Message& m, const Reflection& r, const FieldDescriptor* f) {
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return r.AddInt32(&m, f, int32());
      case FieldDescriptor::CPPTYPE_INT64:
        return r.AddInt64(&m, f, int64());
      case FieldDescriptor::CPPTYPE_UINT32:
        return r.AddUInt32(&m, f, static_cast<std::uint32_t>(int32()));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return r.AddFloat(&m, f, real());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return r.AddDouble(&m, f, real64());
      case FieldDescriptor::CPPTYPE_BOOL:
        return r.AddBool(&m, f, below(2));
      default:
        return r.AddString(&m, f, bytes());
    }
  }
  const google::protobuf::EnumValueDescriptor* value_of(const FieldDescriptor* f) {
    return f->enum_type()->value(
        static_cast<int>(below(static_cast<std::uint32_t>(f->enum_type()->value_count()))));
  }

  crema::Key key_;
  crema::Counter block_{};
  std::uint32_t counter_ = 0, at_ = 4;
};

}  // namespace oracle

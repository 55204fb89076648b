// SPDX-License-Identifier: Apache-2.0
// protobuf is the oracle: messages filled at random go through crema, as bytes, as text and as structs, and
// must come back as the same messages.
#include "protobuf_oracle.hpp"

#include "catch.hpp"
#include "crema/spec/text_format.hpp"
#include "crema/spec/text_printer.hpp"
#include "crema/spec/wire_format.hpp"

namespace {

constexpr std::uint64_t messages = 2000;

oracle::Caffe& caffe() {
  static oracle::Caffe c;
  return c;
}

/// Bytes and text, both ways and crosswise, with every field's presence. Returns the message's size.
std::size_t check_message(const std::string& name, const crema::Schema& schema, std::uint64_t index) {
  const auto m = caffe().make(name);
  oracle::Random(name, index).fill(*m);
  const std::string want = oracle::canonical(*m);

  const crema::Message from_wire = crema::parse_wire(m->SerializeAsString(), schema);
  const auto wire_wire = caffe().from_wire(name, crema::write_wire(from_wire, schema));
  REQUIRE(wire_wire);
  CHECK(oracle::canonical(*wire_wire) == want);

  const auto wire_text = caffe().from_text(name, crema::print_text(from_wire, schema));
  REQUIRE(wire_text);
  CHECK(oracle::canonical(*wire_text) == want);

  const crema::Message from_text = crema::parse_text(oracle::text(*m), schema);
  CHECK(from_text.fields.size() == from_wire.fields.size());
  const auto text_text = caffe().from_text(name, crema::print_text(from_text, schema));
  REQUIRE(text_text);
  CHECK(oracle::canonical(*text_text) == want);

  const auto text_wire = caffe().from_wire(name, crema::write_wire(from_text, schema));
  REQUIRE(text_wire);
  CHECK(oracle::canonical(*text_wire) == want);
  return want.size();
}

/// Through the struct. A plain member does not tell a default from nothing; all else must survive.
template <class M>
void check_struct(const std::string& name, std::uint64_t index, bool options = false) {
  const auto m = caffe().make(name);
  oracle::Random(name, index).fill(*m);
  const M value = crema::from_message<M>(crema::parse_wire(m->SerializeAsString(), crema::schema<M>()));
  const auto wire = caffe().from_wire(name, crema::write_wire(value));
  const auto text = caffe().from_text(name, crema::print(value));
  REQUIRE(wire);
  REQUIRE(text);
  oracle::drop_defaults(*m, options);
  oracle::drop_defaults(*wire, options);
  oracle::drop_defaults(*text, options);
  CHECK(oracle::canonical(*wire) == oracle::canonical(*m));
  CHECK(oracle::canonical(*text) == oracle::canonical(*m));
}

template <class M>
void check_all(const std::string& name) {
  std::size_t bytes = 0;
  for (std::uint64_t i = 0; i < messages; ++i) {
    INFO(name << " " << i);
    bytes += check_message(name, crema::schema<M>(), i);
    check_struct<M>(name, i);
  }
  CHECK(bytes > 20 * messages);  // the generator does generate
}

/// Every scalar set to protobuf's default: a plain member must take it for its own and write nothing; what is
/// left are the fields whose presence Caffe asks for.
template <class O>
void check_options(const std::string& name, const std::vector<std::string>& has_x) {
  INFO(name);
  CHECK(crema::schema<O>().name == name);
  for (std::uint64_t i = 0; i < messages / 10; ++i) {
    INFO(i);
    check_message(name, crema::schema<O>(), i);
    check_struct<O>(name, i, true);
  }
  const auto m = caffe().make(name);
  const oracle::Reflection& r = *m->GetReflection();
  crema::Message defaults;
  for (const crema::SchemaField& row : crema::schema<O>().fields) {
    const auto* f = m->GetDescriptor()->FindFieldByNumber(row.number);
    REQUIRE(f);
    CHECK(f->name() == row.name);
    CHECK(f->is_repeated() == row.repeated);
    if (f->is_repeated() || row.kind == crema::Kind::message) continue;
    switch (f->cpp_type()) {
      case oracle::FieldDescriptor::CPPTYPE_INT32:
        r.SetInt32(m.get(), f, f->default_value_int32());
        break;
      case oracle::FieldDescriptor::CPPTYPE_INT64:
        r.SetInt64(m.get(), f, f->default_value_int64());
        break;
      case oracle::FieldDescriptor::CPPTYPE_UINT32:
        r.SetUInt32(m.get(), f, f->default_value_uint32());
        break;
      case oracle::FieldDescriptor::CPPTYPE_FLOAT:
        r.SetFloat(m.get(), f, f->default_value_float());
        break;
      case oracle::FieldDescriptor::CPPTYPE_BOOL:
        r.SetBool(m.get(), f, f->default_value_bool());
        break;
      case oracle::FieldDescriptor::CPPTYPE_ENUM:
        r.SetEnum(m.get(), f, f->default_value_enum());
        break;
      default:
        r.SetString(m.get(), f, f->default_value_string());
    }
  }
  CHECK(crema::schema<O>().fields.size() == static_cast<std::size_t>(m->GetDescriptor()->field_count()));
  const O value = crema::from_message<O>(crema::parse_wire(m->SerializeAsString(), crema::schema<O>()));
  std::vector<std::string> left;
  for (const crema::Field& f : crema::to_message(value).fields)
    left.emplace_back(crema::schema<O>().find(f.number)->name);
  CHECK(left == has_x);
}

}  // namespace

TEST_CASE("NetParameter is what protobuf takes it for", "[spec]") {
  check_all<crema::NetSpec>("NetParameter");
}
TEST_CASE("SolverParameter is what protobuf takes it for", "[spec]") {
  check_all<crema::SolverSpec>("SolverParameter");
}
TEST_CASE("SolverState is what protobuf takes it for", "[spec]") {
  check_all<crema::SolverStateSpec>("SolverState");
}
TEST_CASE("BlobProto is what protobuf takes it for", "[spec]") { check_all<crema::BlobSpec>("BlobProto"); }
TEST_CASE("Datum is what protobuf takes it for", "[spec]") { check_all<crema::DatumSpec>("Datum"); }

TEST_CASE("every options struct has Caffe's fields and defaults", "[spec]") {
  using Names = std::vector<std::string>;
  check_options<crema::FillerSpec>("FillerParameter", {});
  check_options<crema::ParamSpec>("ParamSpec", {});
  check_options<crema::NetState>("NetState", {});
  check_options<crema::NetStateRule>("NetStateRule", {"phase", "min_level", "max_level"});
  check_options<crema::TransformationOptions>("TransformationParameter", {"mean_file"});
  check_options<crema::LossOptions>("LossParameter", {"ignore_label", "normalize", "normalization"});
  check_options<crema::AccuracyOptions>("AccuracyParameter", {"ignore_label"});
  check_options<crema::ConvolutionOptions>(
      "ConvolutionParameter", {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"});
  check_options<crema::DataOptions>("DataParameter", {"mean_file"});
  check_options<crema::ImageDataOptions>("ImageDataParameter", {"mean_file"});
  check_options<crema::DropoutOptions>("DropoutParameter", {});
  check_options<crema::FlattenOptions>("FlattenParameter", {});
  check_options<crema::InnerProductOptions>("InnerProductParameter", {});
  check_options<crema::InputOptions>("InputParameter", {});
  check_options<crema::LrnOptions>("LRNParameter", {});
  check_options<crema::PoolingOptions>("PoolingParameter", Names{"kernel_size", "kernel_h", "kernel_w",
                                                                 "stride_h", "stride_w", "pad_h", "pad_w"});
  check_options<crema::ReluOptions>("ReLUParameter", {});
  check_options<crema::SoftmaxOptions>("SoftmaxParameter", {});
  check_options<crema::SolverSpec>("SolverParameter", {"train_net", "net", "solver_type"});
  check_options<crema::NetSpec>("NetParameter", {});
  check_options<crema::SolverStateSpec>("SolverState", {});
  check_options<crema::BlobSpec>("BlobProto", {"num", "channels", "height", "width"});
  check_options<crema::DatumSpec>("Datum", {});
}

TEST_CASE("the tables name every field of Caffe's layers, and nothing else", "[spec]") {
  const auto& want = caffe().descriptor("LayerParameter");
  const crema::Schema& have = crema::schema<crema::LayerSpec>();
  CHECK(have.fields.size() == static_cast<std::size_t>(want.field_count()));
  for (int i = 0; i < want.field_count(); ++i) {
    const auto* f = want.field(i);
    INFO(f->name());
    const crema::SchemaField* row = have.find(f->number());
    REQUIRE(row);
    CHECK(row->name == f->name());
    if (f->message_type() == nullptr) continue;
    REQUIRE(row->message);
    CHECK(row->message->name == f->message_type()->name());
    CHECK(row->message->fields.size() == static_cast<std::size_t>(f->message_type()->field_count()));
    for (std::uint64_t k = 0; k < 50; ++k) check_message(f->message_type()->name(), *row->message, k);
  }
}

TEST_CASE("unknown fields survive in messages and structs", "[spec]") {
  std::size_t kept = 0;
  for (std::uint64_t i = 0; i < messages; ++i) {
    INFO(i);
    const auto m = caffe().make("NetParameter");
    oracle::Random random("unknown", i);
    random.fill(*m);
    kept += random.add_unknown(*m);
    const std::string bytes = m->SerializeAsString();
    const auto through_message = caffe().from_wire(
        "NetParameter", crema::write_wire(crema::parse_wire(bytes, crema::schema<crema::NetSpec>()),
                                          crema::schema<crema::NetSpec>()));
    REQUIRE(through_message);
    CHECK(oracle::canonical(*through_message) == oracle::canonical(*m));
    const auto through_struct =
        caffe().from_wire("NetParameter", crema::write_wire(crema::parse_wire<crema::NetSpec>(bytes)));
    REQUIRE(through_struct);
    oracle::drop_defaults(*m);
    oracle::drop_defaults(*through_struct);
    CHECK(oracle::canonical(*through_struct) == oracle::canonical(*m));
  }
  CHECK(kept > messages);
}

TEST_CASE("damaged bytes are accepted and refused as protobuf does", "[spec]") {
  const char* names[] = {"NetParameter", "SolverParameter", "SolverState", "BlobProto", "Datum"};
  const crema::Schema* schemas[] = {&crema::schema<crema::NetSpec>(), &crema::schema<crema::SolverSpec>(),
                                    &crema::schema<crema::SolverStateSpec>(),
                                    &crema::schema<crema::BlobSpec>(), &crema::schema<crema::DatumSpec>()};
  int accepted = 0, refused = 0;
  const google::protobuf::LogSilencer damaged_text_is_expected;
  for (std::uint64_t i = 0; i < 10 * messages; ++i) {
    INFO(i);
    const std::string name = names[i % 5];
    const crema::Schema& schema = *schemas[i % 5];
    oracle::Random random("damage", i);
    const auto m = caffe().make(name);
    random.fill(*m);
    std::string bytes = m->SerializeAsString();
    if (bytes.empty()) continue;
    for (std::uint32_t n = 1 + random.below(2); n > 0; --n) {
      const std::size_t at = random.below(static_cast<std::uint32_t>(bytes.size()));
      if (random.below(4))
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      else
        bytes.insert(at, 1, static_cast<char>(random.next()));
    }
    const auto want = caffe().from_wire(name, bytes);
    try {
      const std::string again = crema::write_wire(crema::parse_wire(bytes, schema), schema);
      REQUIRE(want);
      const auto back = caffe().from_wire(name, again);
      REQUIRE(back);
      CHECK(oracle::canonical(*back) == oracle::canonical(*want));
      ++accepted;
    } catch (const crema::ParseError& e) {
      ++refused;
      INFO(e.what() << " " << name);
      // stricter than protobuf: groups, and field numbers above 2^29 - 1, which no writer makes
      const std::string_view why = e.what();
      if (why.find("wire type 3") == why.npos && why.find("a field number of") == why.npos) CHECK(!want);
    }
  }
  CHECK(accepted > 1000);
  CHECK(refused > 1000);
}

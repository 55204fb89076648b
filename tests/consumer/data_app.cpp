// SPDX-License-Identifier: Apache-2.0
// An outside program: writes an LMDB database and reads it back; knows JPEG and PNG.
#include <crema/data/lmdb.hpp>
#include <crema/data/lmdb_writer.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  using namespace crema;
  static_assert(CREMA_HAS_JPEG && CREMA_HAS_PNG && CREMA_HAS_LMDB);
  const std::string path = argc > 1 ? argv[1] : "data_app_lmdb";
  LmdbWriter writer(path);
  for (int i = 0; i < 5; ++i)
    writer.add(datum_of({{1, 2, 2}, std::vector<std::uint8_t>(4, static_cast<std::uint8_t>(i))}, i));
  writer.finish();
  Sample s;
  LmdbDataset(path).read(4, s);
  const std::uint8_t jpeg[] = {0xff, 0xd8, 0xff, 0xd9}, png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  int refused = 0;
  for (const std::span<const std::uint8_t> bytes : {std::span<const std::uint8_t>(jpeg), {png}}) try {
      decode_image(bytes, "damaged");
    } catch (const DataError& e) {
      refused += std::string(e.what()).find("damaged") == 0;
    }
  std::printf("label %g, %d damaged images refused\n", s.label, refused);
  return s.label == 4 && s.bytes[3] == 4 && refused == 2 ? 0 : 1;
}

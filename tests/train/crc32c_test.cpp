// SPDX-License-Identifier: Apache-2.0
#include "crema/train/crc32c.hpp"

#include "catch.hpp"

TEST_CASE("CRC32C gives the values of RFC 3720, B.4", "[train]") {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i), descending += static_cast<char>(31 - i);
  CHECK(crema::crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crema::crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(crema::crc32c(ascending) == 0x46dd794eu);
  CHECK(crema::crc32c(descending) == 0x113fdb5cu);
  CHECK(crema::crc32c("123456789") == 0xe3069283u);
  CHECK(crema::crc32c("") == 0);
}

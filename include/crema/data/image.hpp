#pragma once
#include <optional>
#include "crema/core/limits.hpp"
#include "crema/data/dataset.hpp"
namespace crema::inline CREMA_ABI {
struct ImageOptions { std::optional<bool> color = {}; std::int64_t height = 0, width = 0; };
struct Image { Shape shape; std::vector<std::uint8_t> pixels; };
inline bool is_encoded_image(std::span<const std::uint8_t>) { return false; }
inline Image decode_image(std::span<const std::uint8_t>, const std::string& name, const ImageOptions& = {}, const Limits& = {}) { throw DataError(name); }
}

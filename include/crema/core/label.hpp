// SPDX-License-Identifier: Apache-2.0
// Labels come from outside: as numbers of the net's scalar type, whole and in range, or the batch is refused.
#pragma once

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

/// The label of sample n, position p, checked: -1 if it is
/// to be ignored. Throws DataError with sample and label.
template <class T>
std::int64_t checked_label(T value, std::int64_t n, std::int64_t classes, bool has_ignore, int ignore) {
  const auto label = static_cast<std::int64_t>(value);
  if (has_ignore && label == ignore) return -1;
  if (label < 0 || label >= classes || static_cast<T>(label) != value)
    throw DataError(cat("sample ", n, " of the batch has label ", value, ", but the net has ", classes,
                        " classes (0 to ", classes - 1,
                        "): correct the labels, or num_output of the layer before the loss"));
  return label;
}

}  // namespace crema

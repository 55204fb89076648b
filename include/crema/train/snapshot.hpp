// SPDX-License-Identifier: Apache-2.0
// Snapshots: <prefix>_iter_N.caffemodel, which Caffe reads,
// and <prefix>_iter_N.solverstate, the commit point.
//
//   SnapshotPaths p = save_snapshot(cpu, "run/lenet", net, solver, {.iteration = 500, .seed = 1, ...});
//   std::string state = newest_snapshot("run/lenet").state;             // "" if there is none that verifies
//   SnapshotInfo at = load_snapshot(cpu, state, net, solver);           // weights and history, bit for bit
//
// Both files are on disk under temporary names before either gets its own; the state's comes last. What Caffe
// has no field for lies in fields from 20000 up of the SolverState, which Caffe skips. Writing holds up to three times
// the weights' bytes for a while, reading four times.
#pragma once

#include <algorithm>

#include "crema/data/file.hpp"
#include "crema/solvers/solver.hpp"
#include "crema/spec/wire_format.hpp"
#include "crema/train/atomic_file.hpp"
#include "crema/train/crc32c.hpp"
#include "crema/train/observer.hpp"
#include "crema/train/weights.hpp"

namespace crema::inline CREMA_ABI {

/// Where a job stood, beside its weights and history.
struct SnapshotInfo {
  std::int64_t iteration = 0;
  std::uint64_t seed = 0;
  std::int64_t cursor = 0;        // samples taken since the start of the job
  std::int64_t global_batch = 0;  // samples of one iteration
  std::string isa = {};           // bits are promised on the same one only
  std::string build = {};
  int shards = 1;  // virtual shards: they decide which samples a step sees
  int ranks = 1;
  std::string strategy = {};
  bool verified = true;  // false: a state without checksums, Caffe's own
};

namespace detail {

enum SnapshotField : int {
  field_format = 20000,       // 1
  field_model_crc = 20001,    // CRC32C of the .caffemodel
  field_model_bytes = 20002,  // its size
  field_seed = 20003,
  field_cursor = 20004,
  field_global_batch = 20005,
  field_build = 20006,
  field_isa = 20007,
  field_fingerprint = 20008,  // Parameters::fingerprint
  field_shards = 20009,
  field_ranks = 20010,
  field_strategy = 20011,
  field_state_crc = 20099  // CRC32C of all bytes before it; the last field of the file
};
inline constexpr std::size_t state_crc_bytes = 7;  // a tag of three bytes and a fixed32

inline Field number_field(SnapshotField number, Field::Form form, std::uint64_t bits) {
  Field f;
  f.number = number, f.form = form, f.bits = bits;
  return f;
}
inline Field text_field(SnapshotField number, std::string text) {
  Field f;
  f.number = number, f.form = Field::Form::chunk, f.bytes = std::move(text);
  return f;
}
inline std::string model_path(std::string_view prefix, std::int64_t iteration) {
  return cat(prefix, "_iter_", iteration, ".caffemodel");
}
inline std::string state_path(std::string_view prefix, std::int64_t iteration) {
  return cat(prefix, "_iter_", iteration, ".solverstate");
}

/// The bytes of a .solverstate: the spec, then its own checksum.
inline std::string sealed(const SolverStateSpec& state) {
  std::string bytes = write_wire(state);
  Message seal;
  seal.fields.push_back(number_field(field_state_crc, Field::Form::fixed32, crc32c(bytes)));
  return bytes += write_wire(seal, schema<SolverStateSpec>());
}

/// The model that a state belongs to: the path in it, or the same name beside the state.
inline std::string find_model(const SolverStateSpec& state, const std::string& path) {
  const std::string beside = folder_of(path) + "/" + name_of_file(state.learned_net);
  if (file_exists(beside)) return beside;
  if (file_exists(state.learned_net)) return state.learned_net;
  throw DataError(cat(path, ": its model ", name_of_file(state.learned_net), " is not beside it"));
}

inline const Field* checked_field(const SolverStateSpec& s, SnapshotField number, Field::Form form) {
  const Field* f = s.other.find(number);
  return f && f->form == form ? f : nullptr;
}
inline std::uint64_t number_in(const SolverStateSpec& s, SnapshotField number, Field::Form form) {
  const Field* f = checked_field(s, number, form);
  return f ? f->bits : 0;
}
inline std::string text_in(const SolverStateSpec& s, SnapshotField number) {
  const Field* f = checked_field(s, number, Field::Form::chunk);
  return f ? f->bytes : std::string();
}

}  // namespace detail

/// A snapshot that was read and verified, before anything is done with it.
struct SnapshotFile {
  SolverStateSpec state;
  SnapshotInfo info;
  std::uint64_t fingerprint = 0;  // 0: unknown
  std::string model_path, model;  // the .caffemodel's bytes
};

/// Reads a .solverstate and its model. Throws DataError or ParseError with the path when either is missing,
/// cut off or changed. A state that Caffe wrote has no checksums and is taken as it is.
inline SnapshotFile read_snapshot(const std::string& path, const Limits& limits = {}) {
  using Form = Field::Form;
  const std::string bytes = read_file(path, limits);
  SnapshotFile s;
  s.state = parse_wire<SolverStateSpec>(bytes, path, limits);
  const Field* seal = detail::checked_field(s.state, detail::field_state_crc, Form::fixed32);
  const std::string_view body(bytes.data(), bytes.size() - (seal ? detail::state_crc_bytes : 0));
  if (seal ? crc32c(body) != seal->bits : s.state.other.find(detail::field_format) != nullptr)
    throw DataError(
        cat(path, ": its checksum does not fit: the file is damaged; resume from an older snapshot"));
  s.model_path = detail::find_model(s.state, path);
  s.model = read_file(s.model_path, limits);
  if (seal && (s.model.size() != detail::number_in(s.state, detail::field_model_bytes, Form::varint) ||
               crc32c(s.model) != detail::number_in(s.state, detail::field_model_crc, Form::fixed32)))
    throw DataError(cat(s.model_path, ": its checksum is not the one in ", path,
                        ": the file is damaged or of another run; resume from an older snapshot"));
  const auto number = [&](detail::SnapshotField f, Form form) { return detail::number_in(s.state, f, form); };
  s.fingerprint = number(detail::field_fingerprint, Form::fixed64);
  s.info = {.iteration = s.state.iter,
            .seed = number(detail::field_seed, Form::fixed64),
            .cursor = static_cast<std::int64_t>(number(detail::field_cursor, Form::varint)),
            .global_batch = static_cast<std::int64_t>(number(detail::field_global_batch, Form::varint)),
            .isa = detail::text_in(s.state, detail::field_isa),
            .build = detail::text_in(s.state, detail::field_build),
            .shards = std::max(1, static_cast<int>(number(detail::field_shards, Form::varint))),
            .ranks = std::max(1, static_cast<int>(number(detail::field_ranks, Form::varint))),
            .strategy = detail::text_in(s.state, detail::field_strategy),
            .verified = seal != nullptr};
  return s;
}

/// Writes a snapshot. Throws DataError with the path when the disk refuses; then nothing is left of it and
/// every older snapshot is as it was. DataError too for weights that are no finite numbers.
template <class T, class B>
SnapshotPaths save_snapshot(B& b, const std::string& prefix, const Net<T, B>& net, Solver<T, B>& solver,
                            const SnapshotInfo& info) {
  using Form = Field::Form;
  const Parameters<T, B>& p = *net.parameters();
  if (!all_finite<T>(b, p.values()))
    throw DataError(
        cat("iteration ", info.iteration,
            ": the weights hold numbers that are not finite: no snapshot is written; lower base_lr"));
  const SnapshotPaths paths{detail::model_path(prefix, info.iteration),
                            detail::state_path(prefix, info.iteration)};
  std::string model = write_wire(with_weights(b, net));
  const std::uint32_t model_crc = crc32c(model);
  const std::size_t model_bytes = model.size();
  PendingFile model_file(paths.model, model);
  std::string().swap(model);  // its memory is for the state
  SolverStateSpec state;
  state.iter = static_cast<int>(info.iteration);
  state.learned_net = paths.model;
  state.current_step = current_step(solver.spec(), info.iteration);
  for (std::size_t h = 0; h < solver.histories(); ++h)
    for (const Segment& s : p.segments()) {
      std::vector<T> values(s.count);
      b.copy_out(values.data(), solver.history(h).data() + s.offset, s.count * sizeof(T));
      state.history.push_back(to_blob(s.shape, std::move(values)));
    }
  state.other.fields = {
      detail::number_field(detail::field_format, Form::varint, 1),
      detail::number_field(detail::field_model_crc, Form::fixed32, model_crc),
      detail::number_field(detail::field_model_bytes, Form::varint, model_bytes),
      detail::number_field(detail::field_seed, Form::fixed64, info.seed),
      detail::number_field(detail::field_cursor, Form::varint, static_cast<std::uint64_t>(info.cursor)),
      detail::number_field(detail::field_global_batch, Form::varint,
                           static_cast<std::uint64_t>(info.global_batch)),
      detail::text_field(detail::field_build, cat("crema ", CREMA_VERSION)),
      detail::text_field(detail::field_isa, info.isa),
      detail::number_field(detail::field_fingerprint, Form::fixed64, p.fingerprint()),
      detail::number_field(detail::field_shards, Form::varint, static_cast<std::uint64_t>(info.shards)),
      detail::number_field(detail::field_ranks, Form::varint, static_cast<std::uint64_t>(info.ranks)),
      detail::text_field(detail::field_strategy, info.strategy)};
  PendingFile state_file(paths.state, detail::sealed(state));
  model_file.commit();
  state_file.commit();
  return paths;
}

/// Restores weights and history. Throws before anything is changed: DataError or ParseError as
/// read_snapshot, ShapeError or SpecError when the snapshot is of another net or solver.
template <class T, class B>
SnapshotInfo load_snapshot(B& b, const std::string& path, Net<T, B>& net, Solver<T, B>& solver,
                           const Limits& limits = {}) {
  SnapshotFile file = read_snapshot(path, limits);
  const std::span<const Segment> segments = net.parameters()->segments();
  if (file.state.history.size() != solver.histories() * segments.size())
    throw SpecError(
        cat(path, " holds ", file.state.history.size(), " blobs of history, but this net and solver want ",
            solver.histories() * segments.size(), ": resume with the net and solver type it was made with"));
  for (std::size_t i = 0; i < file.state.history.size(); ++i) {
    const Segment& s = segments[i % segments.size()];
    check_blob(file.state.history[i], s.shape,
               cat(path, ": history ", i, " (layer '", s.layer, "' ", s.param, ")"));
  }
  const NetSpec weights = parse_wire<NetSpec>(file.model, file.model_path, limits);
  std::string().swap(file.model);
  for (const NetPlan::Layer& l : net.plan().layers) {
    const auto same = [&](const LayerSpec& s) { return s.name == l.spec.name && !s.blobs.empty(); };
    if (!l.params.empty() && std::none_of(weights.layers.begin(), weights.layers.end(), same))
      throw SpecError(cat(file.model_path, " has no weights for layer '", l.spec.name,
                          "': resume with the net it was made with, or start from it with --weights"));
  }
  try {
    copy_weights(b, net, weights);
  } catch (Error& e) {
    e.add_context(file.model_path);
    throw;
  }
  for (std::size_t i = 0; i < file.state.history.size(); ++i) {
    const Segment& s = segments[i % segments.size()];
    copy_blob(b, file.state.history[i], solver.history(i / segments.size()).subspan(s.offset, s.count));
  }
  return file.info;
}

/// The newest snapshot of a prefix that verifies, and why newer ones were passed over.
struct NewestSnapshot {
  std::string state;  // empty: there is none
  std::vector<std::string> rejected;
};
inline NewestSnapshot newest_snapshot(const std::string& prefix, const Limits& limits = {}) {
  const std::string folder = folder_of(prefix), start = name_of_file(prefix) + "_iter_";
  constexpr std::string_view end = ".solverstate";
  std::vector<std::int64_t> iterations;
  for (const std::string& name : names_in_folder(folder)) {
    std::int64_t n = 0;
    if (name.starts_with(start) && name.ends_with(end) && name.size() > start.size() + end.size() &&
        parse_number(std::string_view(name).substr(start.size(), name.size() - start.size() - end.size()), n))
      iterations.push_back(n);
  }
  std::sort(iterations.rbegin(), iterations.rend());
  NewestSnapshot found;
  for (const std::int64_t n : iterations) {
    const std::string path = detail::state_path(prefix, n);
    try {
      read_snapshot(path, limits);
      found.state = path;
      return found;
    } catch (const Error& e) {
      found.rejected.emplace_back(e.what());
    }
  }
  return found;
}

/// Removes what a killed process left of unfinished snapshots of this prefix, and makes sure that the folder
/// can be written to. Throws DataError if not.
inline void prepare_snapshots(const std::string& prefix) {
  const std::string folder = folder_of(prefix), start = name_of_file(prefix) + "_iter_";
  for (const std::string& name : names_in_folder(folder))
    if (name.starts_with(start) && name.ends_with(PendingFile::suffix))
      ::unlink((folder + "/" + name).c_str());
  PendingFile probe(prefix + "_iter_0.probe", "");  // never committed: removed at once
}

}  // namespace crema::inline CREMA_ABI

// SPDX-License-Identifier: Apache-2.0
// Job: everything a solver.prototxt describes, built and ready to run: nets, sources, trainer.
//
//   Job<float, Cpu> job(cpu, read_solver("solver.prototxt"), all_layers<float, Cpu>(), {.data_roots = {"data"}});
//   job.trainer().add(log);
//   job.trainer().run();
//
// As in Caffe: one of net, net_param, train_net, train_net_param is trained; test nets are test_net_param,
// test_net, then one of net or net_param for every test_iter that is left. Nets are looked for in the working
// folder, then beside the solver; sources of data beside the net and under the data roots.
#pragma once

#include "crema/caffe/data_layers.hpp"
#include "crema/caffe/import.hpp"
#include "crema/train/trainer.hpp"

namespace crema::inline CREMA_ABI {

struct JobOptions {
  std::vector<std::string> data_roots = {};  // folders that may be read, besides the net's own
  std::optional<std::uint64_t> seed = {};    // random_seed of the solver, or 0
  int level = 0;
  std::vector<std::string> stages = {};
  std::function<Action()> after_step = {};
  const Cancel* cancel = nullptr;
  std::string isa = {};
  Shards shards = {};  // of the training data, those that this rank serves
  Limits limits = {};
  HostRows rows = {};                  // the host's rows, for MemoryData and CoSData layers
  std::vector<std::string> keep = {};  // blobs of test nets that the host reads
};

/// A net and where its batches come from.
template <class T, class B>
struct NetWithData {
  std::unique_ptr<Net<T, B>> net;
  std::unique_ptr<BatchSource<T>> source;
  std::vector<DataLayer> data;
};

/// Builds one net of a prototxt with its data layers opened; of the options, those that have to do with a net and
/// its data. Throws as read_net, take_data_layers and Net.
template <class T, class B>
NetWithData<T, B> build_net(B& b, const NetSpec& spec, const NetSelection& at, const Registry<T, B>& registry,
                            const JobOptions& o, DatasetCache& cache,
                            std::shared_ptr<Parameters<T, B>> shared = {}) {
  NetSpec filtered = filter(spec, at);
  std::vector<std::string> roots = {folder_of(spec.file)};
  roots.insert(roots.end(), o.data_roots.begin(), o.data_roots.end());
  NetWithData<T, B> out;
  out.data = take_data_layers(filtered, at.phase, roots, cache, o.limits, o.rows);
  const std::uint64_t seed = o.seed.value_or(0);
  NetOptions options{.phase = at.phase, .level = at.level, .stages = at.stages, .seed = seed};
  if (at.phase == Phase::test) options.keep = o.keep;
  out.net = std::make_unique<Net<T, B>>(b, filtered, registry, options, std::move(shared));
  if (!out.data.empty()) out.source = make_source<T>(out.data, at.phase, seed, o.shards);
  return out;
}

namespace detail {

/// The net that a solver names by path: as it is, or beside the solver's file; nowhere else.
inline NetSpec read_named_net(const SolverSpec& solver, const std::string& path, const JobOptions& o) {
  std::vector<std::string> roots = {".", folder_of(solver.file)};
  roots.insert(roots.end(), o.data_roots.begin(), o.data_roots.end());
  if (path.starts_with('/')) roots.push_back(folder_of(path));
  return read_net(resolve_under(path, roots), {.limits = o.limits});
}

inline int train_nets(const SolverSpec& s) {
  return s.net.has_value() + s.net_param.has_value() + s.train_net.has_value() +
         s.train_net_param.has_value();
}
inline NetSpec training_net(const SolverSpec& s, const JobOptions& o) {
  if (train_nets(s) != 1)
    throw SpecError(cat("a solver names exactly one of net, net_param, train_net and train_net_param, not ",
                        train_nets(s)));
  if (s.net || s.train_net) return read_named_net(s, s.net ? *s.net : *s.train_net, o);
  NetSpec net = with_input_layers(s.net_param ? *s.net_param : *s.train_net_param);
  if (net.file.empty()) net.file = s.file;
  return net;
}

/// All test nets in Caffe's order; none where test_interval and every test_iter are 0, as CaffeOnSpark has it.
/// Throws SpecError when their number does not fit test_iter.
inline std::vector<NetSpec> testing_nets(const SolverSpec& s, const JobOptions& o) {
  const auto zero = [](std::int64_t n) { return n == 0; };
  if (s.test_interval == 0 && !s.test_iter.empty() &&
      std::all_of(s.test_iter.begin(), s.test_iter.end(), zero))
    return {};
  std::vector<NetSpec> nets;
  for (const NetSpec& n : s.test_net_param) nets.push_back(with_input_layers(n)), nets.back().file = s.file;
  for (const std::string& path : s.test_net) nets.push_back(read_named_net(s, path, o));
  const bool generic = s.net || s.net_param;
  if (s.test_iter.size() < nets.size() || (s.test_iter.size() > nets.size() && !generic))
    throw SpecError(cat("a test_iter is needed for each test net: there are ", nets.size(), " nets and ",
                        s.test_iter.size(), " test_iter"));
  if (generic && s.test_iter.size() > nets.size()) nets.resize(s.test_iter.size(), training_net(s, o));
  if (!s.test_state.empty() && s.test_state.size() != nets.size())
    throw SpecError(cat("test_state: give one for each of the ", nets.size(), " test nets, or none"));
  if (!nets.empty() && s.test_interval <= 0)
    throw SpecError("there are test nets: set test_interval above 0");
  return nets;
}

/// Caffe's precedence: the net's own state, then the solver's for that net.
inline NetSelection selection(const NetSpec& net, Phase phase, const NetState* state, const JobOptions& o) {
  NetSelection at{phase, o.level, o.stages};
  for (const NetState* s : {net.state ? &*net.state : nullptr, state})
    if (s) {
      if (s->level != 0) at.level = s->level;
      at.stages.insert(at.stages.end(), s->stage.begin(), s->stage.end());
    }
  return at;
}

}  // namespace detail

template <class T, class B>
class Job {
 public:
  /// Throws the errors of reading and building, with file, line and layer. Without a strategy the job has one rank.
  Job(B& b, const SolverSpec& solver, const Registry<T, B>& registry, const JobOptions& given = {},
      std::unique_ptr<Strategy<T, B>> strategy = {})
      : seed_(given.seed.value_or(solver.random_seed >= 0 ? static_cast<std::uint64_t>(solver.random_seed)
                                                          : 0)) {
    JobOptions o = given;
    o.seed = seed_;
    try {
      const NetSpec spec = detail::training_net(solver, o);
      const NetState* const state = solver.train_state ? &*solver.train_state : nullptr;
      train_ = build(b, spec, detail::selection(spec, Phase::train, state, o), registry, o);
      if (!train_.source) throw SpecError("the training net has no Data layer to take batches from");
      TrainerOptions options{seed_, {}, o.isa, o.shards.total, o.after_step, o.cancel};
      trainer_ = std::make_unique<Trainer<T, B>>(b, solver, *train_.net, *train_.source, std::move(options),
                                                 std::move(strategy));
      const std::vector<NetSpec> tests = detail::testing_nets(solver, o);
      for (std::size_t k = 0; k < tests.size(); ++k) {
        const NetState* const test = k < solver.test_state.size() ? &solver.test_state[k] : nullptr;
        tests_.push_back(build(b, tests[k], detail::selection(tests[k], Phase::test, test, o), registry, o));
        if (!tests_.back().source)
          throw SpecError(cat("test net ", k, " has no Data layer to take batches from"));
        trainer_->add_test(*tests_.back().net, *tests_.back().source, solver.test_iter[k]);
      }
    } catch (Error& e) {
      if (!solver.file.empty()) e.add_context(solver.file);
      throw;
    }
  }

  Trainer<T, B>& trainer() { return *trainer_; }
  Net<T, B>& net() { return *train_.net; }
  std::uint64_t seed() const { return seed_; }
  std::span<const NetWithData<T, B>> tests() const { return tests_; }

 private:
  NetWithData<T, B> build(B& b, const NetSpec& spec, const NetSelection& at, const Registry<T, B>& registry,
                          const JobOptions& o) {
    return build_net<T, B>(b, spec, at, registry, o, cache_, train_.net ? train_.net->parameters() : nullptr);
  }

  std::uint64_t seed_;
  DatasetCache cache_;
  NetWithData<T, B> train_;
  std::vector<NetWithData<T, B>> tests_;
  std::unique_ptr<Trainer<T, B>> trainer_;
};

}  // namespace crema::inline CREMA_ABI

// SPDX-License-Identifier: Apache-2.0
// The program `crema`: what its commands share.
#pragma once

#include "crema/caffe/job.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/parallel/all.hpp"
#include "crema/train/log.hpp"

/// Flags of all commands, named as Caffe's.
struct Flags {
  std::string solver, snapshot, model, report, save, world, secret_file;
  std::vector<std::string> weights, data_roots, stages;
  std::string sigint_effect = "stop", sighup_effect = "snapshot", phase = "TRAIN", gpu;
  int iterations = 50, threads = 0, level = 0, ranks = 1, rank = 0, ranks_here = 1, shards = 0;
  double deadline = 30, silence = 10, timeout = 300;
  std::string root, list, output;  // convert, mean
  std::int64_t resize_height = 0, resize_width = 0;
  bool gray = false, shuffle = false;
  std::optional<std::uint64_t> seed;
  crema::StrategyOptions strategy;
};

int train(const Flags&);
int test(const Flags&);
int time(const Flags&);
int convert(const Flags&);
int mean(const Flags&);

inline void to_stderr(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }
inline crema::Cpu make_cpu(const Flags& f) { return crema::Cpu({.threads = f.threads}); }

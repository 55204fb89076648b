// SPDX-License-Identifier: Apache-2.0
// Everything but the CUDA backend, for a first look and for small programs. A program of many files includes
// the headers it uses, and links crema::compiled.
#pragma once

#include "crema/caffe/export.hpp"
#include "crema/caffe/flags.hpp"
#include "crema/caffe/job.hpp"
#include "crema/comm/self.hpp"
#include "crema/comm/world.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/cpu/lines.hpp"
#include "crema/layers/all.hpp"
#include "crema/parallel/all.hpp"
#include "crema/train/log.hpp"
#include "crema/train/progress.hpp"
#include "crema/train/report.hpp"

// SPDX-License-Identifier: Apache-2.0
// Everything, for a first look: a program with a need for short compiles includes the headers it uses.
#pragma once

#include "crema/core/cancel.hpp"
#include "crema/core/clock.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/cpu/lines.hpp"
#include "crema/data/batcher.hpp"
#include "crema/data/open.hpp"
#include "crema/layers/all.hpp"
#include "crema/net/net.hpp"
#include "crema/solvers/all.hpp"
#include "crema/spec/text_format.hpp"
#include "crema/spec/text_printer.hpp"
#include "crema/spec/wire_format.hpp"

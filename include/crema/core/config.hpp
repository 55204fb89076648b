// SPDX-License-Identifier: Apache-2.0
// Version and build mode. The only header that defines
// macros, and the only one that may look at compiler macros.
//
// Everything lives in `namespace crema::inline CREMA_ABI`. The inline namespace names version and mode, so
// that two object files of one program that disagree (one header-only, one built against the crema::compiled
// target) fail to link instead of breaking the one-definition rule.
#pragma once

#define CREMA_VERSION_MAJOR 0
#define CREMA_VERSION_MINOR 1
#define CREMA_VERSION_PATCH 0
#define CREMA_VERSION "0.1.0"

// CREMA_COMPILED is set by the CMake target crema::compiled,
// which carries the CPU kernels as one object file.
#if defined(CREMA_COMPILED)
#define CREMA_ABI v0_1_compiled
#else
#define CREMA_ABI v0_1
#endif

// Bodies that are no templates are compiled once with crema::compiled, and inline elsewhere. CREMA_INLINE: those that
// read and plan, or tell an error: compiled for size, which takes less time. CREMA_INLINE_HOT: those of every step.
#if !defined(CREMA_COMPILED)
#define CREMA_BODIES 1
#define CREMA_INLINE_HOT inline
#elif defined(CREMA_COMPILING)
#define CREMA_BODIES 1
#define CREMA_INLINE_HOT
#else
#define CREMA_BODIES 0
#define CREMA_INLINE_HOT
#endif
#define CREMA_COLD __attribute__((cold))
#define CREMA_INLINE CREMA_INLINE_HOT CREMA_COLD

#define CREMA_ALWAYS_INLINE __attribute__((always_inline))

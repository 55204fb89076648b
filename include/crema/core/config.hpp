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

#if !defined(CREMA_COMPILED)
#define CREMA_BODIES 1
#define CREMA_INLINE inline
#elif defined(CREMA_COMPILING)
#define CREMA_BODIES 1
#define CREMA_INLINE
#else
#define CREMA_BODIES 0
#define CREMA_INLINE
#endif

#define CREMA_ALWAYS_INLINE __attribute__((always_inline))

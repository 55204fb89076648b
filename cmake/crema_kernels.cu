// SPDX-License-Identifier: Apache-2.0
// The one nvcc unit of a program that uses the CUDA backend.
#include "crema/cuda/kernels.cuh"

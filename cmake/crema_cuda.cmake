# SPDX-License-Identifier: Apache-2.0
# crema_add_cuda_kernels(target): compiles crema's device code into a target, as the one nvcc unit of the program, and links
# CUDA's runtime and cuBLAS. Host code stays with the C++ compiler.
#
# A macro, because enable_language must not be called inside a function. CMake 3.25 does not know CUDA's C++20 yet.
set(crema_cuda_kernels "${CMAKE_CURRENT_LIST_DIR}/crema_kernels.cu")
macro(crema_add_cuda_kernels target)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90)  # the last with PTX, for what comes after
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit 12 REQUIRED)
  set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}" CUDA_RUNTIME_LIBRARY Shared)
  target_sources(${target} PRIVATE "${crema_cuda_kernels}")
  set_source_files_properties("${crema_cuda_kernels}" PROPERTIES COMPILE_OPTIONS "-std=c++20;--extended-lambda")
  target_link_libraries(${target} PRIVATE crema::crema CUDA::cudart CUDA::cublas)
endmacro()

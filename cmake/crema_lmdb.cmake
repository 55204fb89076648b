# SPDX-License-Identifier: Apache-2.0
# LMDB::LMDB, where liblmdb is (Debian: liblmdb-dev); it comes without CMake files.
if(NOT TARGET LMDB::LMDB)
  find_path(LMDB_INCLUDE_DIR lmdb.h)
  find_library(LMDB_LIBRARY lmdb)
  mark_as_advanced(LMDB_INCLUDE_DIR LMDB_LIBRARY)
  if(LMDB_INCLUDE_DIR AND LMDB_LIBRARY)
    add_library(LMDB::LMDB UNKNOWN IMPORTED)
    set_target_properties(LMDB::LMDB PROPERTIES IMPORTED_LOCATION "${LMDB_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${LMDB_INCLUDE_DIR}")
  endif()
endif()

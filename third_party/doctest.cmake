# doctest, for the C++ tests only. Headers only. MIT. Debian, Ubuntu: doctest-dev. Target: wspool::doctest
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

wspool_may_use_system(_wspool_system)
set(_wspool_dir "")
if(_wspool_system)
  find_path(WSPOOL_DOCTEST_INCLUDE_DIR doctest/doctest.h)
  mark_as_advanced(WSPOOL_DOCTEST_INCLUDE_DIR)
  set(_wspool_dir "${WSPOOL_DOCTEST_INCLUDE_DIR}")
endif()

if(NOT _wspool_dir)
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("doctest" doctest-dev)
  else()
    wspool_fetch(doctest 2.4.11
      https://github.com/doctest/doctest/archive/v2.4.11.tar.gz
      632ed2c05a7f53fa961381497bf8069093f0d6628c5f26286161fbd32a560186)
    set(_wspool_dir "${doctest_SOURCE_DIR}")
  endif()
endif()

if(NOT TARGET wspool::doctest)
  add_library(wspool::doctest INTERFACE IMPORTED)
  set_target_properties(wspool::doctest PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}")
endif()

# simdjson 3.0 or later. Apache-2.0 or MIT. Debian, Ubuntu: libsimdjson-dev (a shared library only).
# Target: wspool::simdjson
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

wspool_may_use_system(_wspool_system)
set(_wspool_library "")
set(_wspool_dir "")
if(EXISTS "${WSPOOL_BUNDLED_LIB_DIR}/libwspool_simdjson.a")
  set(_wspool_library "${WSPOOL_BUNDLED_LIB_DIR}/libwspool_simdjson.a")
  set(_wspool_dir "${WSPOOL_BUNDLED_INCLUDE_DIR}")
elseif(_wspool_system)
  find_package(simdjson CONFIG QUIET)
  if(simdjson_FOUND AND simdjson_VERSION VERSION_GREATER_EQUAL 3.0)
    set(_wspool_library simdjson::simdjson)
    if(WSPOOL_STATIC_DEPS)
      find_library(WSPOOL_SIMDJSON_ARCHIVE libsimdjson.a)
      mark_as_advanced(WSPOOL_SIMDJSON_ARCHIVE)
      if(WSPOOL_SIMDJSON_ARCHIVE)
        set(_wspool_library "${WSPOOL_SIMDJSON_ARCHIVE}")
        get_target_property(_wspool_dir simdjson::simdjson INTERFACE_INCLUDE_DIRECTORIES)
      else()
        message(STATUS "simdjson ${simdjson_VERSION} has no static library here: linking the shared one")
      endif()
    endif()
  elseif(simdjson_FOUND)
    message(STATUS "simdjson ${simdjson_VERSION} does not fit: need 3.0 or later")
  endif()
endif()

if(NOT _wspool_library)
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("simdjson 3.0 or later" libsimdjson-dev)
  else()
    wspool_fetch(simdjson 3.6.4
      https://github.com/simdjson/simdjson/archive/v3.6.4.tar.gz
      7e93d5094a47180a3d451cb261ba29ac66f3f6ceb7c2a0884955e9a2bb06d818)
    set(_wspool_dir "${simdjson_SOURCE_DIR}/singleheader")
    add_library(wspool_simdjson STATIC "${_wspool_dir}/simdjson.cpp")
    target_include_directories(wspool_simdjson SYSTEM PUBLIC "${_wspool_dir}")
    set(_wspool_library wspool_simdjson)
    install(TARGETS wspool_simdjson ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}/wspool"
      COMPONENT core)
    wspool_install_bundled_headers(FILES "${_wspool_dir}/simdjson.h")
  endif()
endif()

if(NOT TARGET wspool::simdjson)
  add_library(wspool::simdjson INTERFACE IMPORTED)
  set_target_properties(wspool::simdjson PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}"
    INTERFACE_LINK_LIBRARIES "${_wspool_library}")
endif()

# zlib. Zlib licence. Debian, Ubuntu: zlib1g-dev. Target: wspool::zlib
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

wspool_may_use_system(_wspool_system)
set(_wspool_library "")
set(_wspool_dir "")
if(EXISTS "${WSPOOL_BUNDLED_LIB_DIR}/libwspool_zlib.a")
  set(_wspool_library "${WSPOOL_BUNDLED_LIB_DIR}/libwspool_zlib.a")
elseif(_wspool_system)
  if(WSPOOL_STATIC_DEPS)
    set(ZLIB_USE_STATIC_LIBS ON)  # CMake 3.24; before that the shared library is linked
  endif()
  find_package(ZLIB 1.2.9 QUIET)
  if(ZLIB_FOUND)
    set(_wspool_library ZLIB::ZLIB)
  endif()
endif()

if(NOT _wspool_library)
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("zlib" zlib1g-dev)
  else()
    wspool_fetch(zlib 1.3.1
      https://github.com/madler/zlib/archive/v1.3.1.tar.gz
      17e88863f3600672ab49182f217281b6fc4d3c762bde361935e436a95214d05c)
    enable_language(C)
    set(_wspool_dir "${zlib_SOURCE_DIR}")
    add_library(wspool_zlib STATIC)
    foreach(_wspool_file IN ITEMS adler32 crc32 deflate inffast inflate inftrees trees zutil)
      target_sources(wspool_zlib PRIVATE "${_wspool_dir}/${_wspool_file}.c")
    endforeach()
    target_include_directories(wspool_zlib SYSTEM PUBLIC "${_wspool_dir}")
    set_target_properties(wspool_zlib PROPERTIES C_VISIBILITY_PRESET hidden)
    set(_wspool_library wspool_zlib)
    install(TARGETS wspool_zlib ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}/wspool" COMPONENT core)
  endif()
endif()

if(NOT TARGET wspool::zlib)
  add_library(wspool::zlib INTERFACE IMPORTED)
  set_target_properties(wspool::zlib PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}"
    INTERFACE_LINK_LIBRARIES "${_wspool_library}")
endif()

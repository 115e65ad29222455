# Standalone Asio 1.18 to 1.30 (websocketpp does not compile with later ones). Headers only. BSL-1.0.
# Debian, Ubuntu: libasio-dev. Target: wspool::asio
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

# Sets <out> to ASIO_VERSION (major * 100000 + minor * 100 + patch) of the headers in <dir>, or 0.
function(wspool_asio_version dir out)
  set(_version 0)
  if(dir AND EXISTS "${dir}/asio/version.hpp")
    file(STRINGS "${dir}/asio/version.hpp" _line REGEX "#define ASIO_VERSION [0-9]+")
    string(REGEX MATCH "[0-9]+" _version "${_line}")
  endif()
  set(${out} "${_version}" PARENT_SCOPE)
endfunction()

wspool_may_use_system(_wspool_system)
set(_wspool_dir "")
if(EXISTS "${WSPOOL_BUNDLED_INCLUDE_DIR}/asio/version.hpp")
  set(_wspool_dir "${WSPOOL_BUNDLED_INCLUDE_DIR}")
elseif(_wspool_system)
  find_path(WSPOOL_ASIO_INCLUDE_DIR asio/version.hpp)
  mark_as_advanced(WSPOOL_ASIO_INCLUDE_DIR)
  set(_wspool_dir "${WSPOOL_ASIO_INCLUDE_DIR}")
endif()
wspool_asio_version("${_wspool_dir}" _wspool_version)

if(_wspool_version LESS 101800 OR NOT _wspool_version LESS 103100)
  if(_wspool_version)
    message(STATUS "Asio ${_wspool_version} in ${_wspool_dir} does not fit: need 1.18 to 1.30")
  endif()
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("Asio 1.18 to 1.30" libasio-dev)
  else()
    wspool_fetch(asio 1.22.1
      https://github.com/chriskohlhoff/asio/archive/asio-1-22-1.tar.gz
      30cb54a5de5e465d10ec0c2026d6b5917f5e89fffabdbabeb1475846fc9a2cf0)
    set(_wspool_dir "${asio_SOURCE_DIR}/asio/include")
    wspool_install_bundled_headers(DIRECTORY "${_wspool_dir}/" FILES_MATCHING
      PATTERN "*.hpp" PATTERN "*.ipp")
  endif()
endif()

if(NOT TARGET wspool::asio)
  add_library(wspool::asio INTERFACE IMPORTED)
  set_target_properties(wspool::asio PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}"
    # Asio 1.22 takes std::aligned_alloc only where a libstdc++ header came before it, so that files
    # with another order of includes would free what others allocated in another way.
    INTERFACE_COMPILE_DEFINITIONS "ASIO_STANDALONE;ASIO_DISABLE_STD_ALIGNED_ALLOC"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()

# websocketpp 0.8.2 exactly (wspool specialises its insides). Headers only. BSD-3-Clause.
# Debian, Ubuntu: libwebsocketpp-dev. Target: wspool::websocketpp
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

# Sets <out> to the version that the headers in <dir> state, or to nothing.
function(wspool_websocketpp_version dir out)
  set(_version "")
  if(dir AND EXISTS "${dir}/websocketpp/version.hpp")
    file(READ "${dir}/websocketpp/version.hpp" _text)
    foreach(_part IN ITEMS major minor patch)
      string(REGEX MATCH "${_part}_version = ([0-9]+)" _ "${_text}")
      list(APPEND _version "${CMAKE_MATCH_1}")
    endforeach()
    list(JOIN _version "." _version)
  endif()
  set(${out} "${_version}" PARENT_SCOPE)
endfunction()

wspool_may_use_system(_wspool_system)
set(_wspool_dir "")
if(EXISTS "${WSPOOL_BUNDLED_INCLUDE_DIR}/websocketpp/version.hpp")
  set(_wspool_dir "${WSPOOL_BUNDLED_INCLUDE_DIR}")
elseif(_wspool_system)
  find_path(WSPOOL_WEBSOCKETPP_INCLUDE_DIR websocketpp/version.hpp)
  mark_as_advanced(WSPOOL_WEBSOCKETPP_INCLUDE_DIR)
  set(_wspool_dir "${WSPOOL_WEBSOCKETPP_INCLUDE_DIR}")
endif()
wspool_websocketpp_version("${_wspool_dir}" _wspool_version)

if(NOT _wspool_version STREQUAL "0.8.2")
  if(_wspool_version)
    message(STATUS "websocketpp ${_wspool_version} in ${_wspool_dir} does not fit: need 0.8.2")
  endif()
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("websocketpp 0.8.2" libwebsocketpp-dev)
  else()
    # Tag 0.8.2 is commit 56123c87598f8b1dd471be83ca841ceae07f95ba.
    wspool_fetch(websocketpp 0.8.2
      https://github.com/zaphoyd/websocketpp/archive/0.8.2.tar.gz
      6ce889d85ecdc2d8fa07408d6787e7352510750daa66b5ad44aacb47bea76755)
    set(_wspool_dir "${websocketpp_SOURCE_DIR}")
    wspool_install_bundled_headers(DIRECTORY "${_wspool_dir}/websocketpp"
      FILES_MATCHING PATTERN "*.hpp")
  endif()
endif()

if(NOT TARGET wspool::websocketpp)
  add_library(wspool::websocketpp INTERFACE IMPORTED)
  set_target_properties(wspool::websocketpp PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}"
    INTERFACE_COMPILE_DEFINITIONS "_WEBSOCKETPP_CPP11_STL_")
endif()

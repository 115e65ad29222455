# What the files beside this one share. They serve the build and, installed, wspoolConfig.cmake.
#
# WSPOOL_DEPS=system  installed packages only; a missing one stops the configure step
#             auto    an installed package, else the pinned download
#             fetch   the pinned downloads only
# WSPOOL_FETCH_MIRROR names a folder or address that holds the same archives as <name>-<version>.tar.gz;
# their hashes are checked all the same.
include_guard(DIRECTORY)

# Sets <out> to true if installed packages may be used.
function(wspool_may_use_system out)
  if(WSPOOL_DEPS MATCHES "^(auto|system)$")
    set(${out} TRUE PARENT_SCOPE)
  elseif(WSPOOL_DEPS STREQUAL "fetch")
    set(${out} FALSE PARENT_SCOPE)
  else()
    message(FATAL_ERROR "WSPOOL_DEPS is '${WSPOOL_DEPS}'; it may be auto, system or fetch")
  endif()
endfunction()

# Says that <what> was not found and which <package> has it. Stops the configure step of wspool
# itself; in an installed wspool it makes find_package(wspool) fail with that message.
macro(wspool_dependency_missing what package)
  set(_wspool_missing
    "${what} was not found. On Debian or Ubuntu:\n  apt-get install ${package}")
  if(DEFINED wspool_NOT_FOUND_MESSAGE)
    string(APPEND wspool_NOT_FOUND_MESSAGE "${_wspool_missing}\n")
  else()
    message(FATAL_ERROR
      "${_wspool_missing}\nOr configure with -DWSPOOL_DEPS=auto, which downloads what is missing.")
  endif()
endmacro()

# Downloads and unpacks an archive of known hash; sets <name>_SOURCE_DIR.
macro(wspool_fetch name version url sha256)
  include(FetchContent)
  if(WSPOOL_FETCH_MIRROR)
    set(_wspool_url "${WSPOOL_FETCH_MIRROR}/${name}-${version}.tar.gz")
  else()
    set(_wspool_url "${url}")
  endif()
  message(STATUS "${name} ${version}: downloading ${_wspool_url}")
  # The folder named has no CMakeLists.txt: only unpack, wspool builds what it needs of it.
  FetchContent_Declare(${name}
    URL "${_wspool_url}"
    URL_HASH "SHA256=${sha256}"
    SOURCE_SUBDIR wspool-builds-it)
  FetchContent_MakeAvailable(${name})
endmacro()

# Installs fetched headers beside wspool's own, so that the installed package is complete.
function(wspool_install_bundled_headers kind path)
  install(${kind} "${path}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/wspool/bundled"
    COMPONENT core ${ARGN})
endfunction()

# OpenSSL 3. Apache-2.0. Debian, Ubuntu: libssl-dev. Target: wspool::openssl
#
# Prefer the system's: it gets the security fixes. The download builds static libraries, which
# takes minutes and needs perl and make.
include("${CMAKE_CURRENT_LIST_DIR}/dependency.cmake")

wspool_may_use_system(_wspool_system)
set(_wspool_library "")
set(_wspool_dir "")
if(EXISTS "${WSPOOL_BUNDLED_LIB_DIR}/libssl.a")
  set(_wspool_library "${WSPOOL_BUNDLED_LIB_DIR}/libssl.a" "${WSPOOL_BUNDLED_LIB_DIR}/libcrypto.a"
    Threads::Threads ${CMAKE_DL_LIBS})
elseif(_wspool_system)
  if(WSPOOL_STATIC_DEPS)
    set(OPENSSL_USE_STATIC_LIBS ON)
  endif()
  find_package(OpenSSL 3.0 QUIET COMPONENTS SSL Crypto)
  if(OpenSSL_FOUND)
    set(_wspool_library OpenSSL::SSL OpenSSL::Crypto)
  elseif(OPENSSL_VERSION)
    message(STATUS "OpenSSL ${OPENSSL_VERSION} does not fit: need 3.0 or later")
  endif()
endif()

if(NOT _wspool_library)
  if(WSPOOL_DEPS STREQUAL "system")
    wspool_dependency_missing("OpenSSL 3.0 or later" libssl-dev)
  else()
    wspool_fetch(openssl 3.0.22
      https://github.com/openssl/openssl/releases/download/openssl-3.0.22/openssl-3.0.22.tar.gz
      67ebca7e50d17383028045486653492195b83db95f8558709701bb47b5c1ef81)
    include(ExternalProject)
    include(ProcessorCount)
    ProcessorCount(_wspool_cores)
    set(_wspool_prefix "${CMAKE_BINARY_DIR}/openssl")
    set(_wspool_dir "${_wspool_prefix}/include")
    set(_wspool_library "${_wspool_prefix}/lib/libssl.a" "${_wspool_prefix}/lib/libcrypto.a")
    file(MAKE_DIRECTORY "${_wspool_dir}")
    ExternalProject_Add(wspool_openssl
      SOURCE_DIR "${openssl_SOURCE_DIR}"
      CONFIGURE_COMMAND <SOURCE_DIR>/Configure no-shared no-tests no-module
        --prefix=${_wspool_prefix} --libdir=lib --openssldir=/usr/lib/ssl -fPIC
      BUILD_COMMAND make -j${_wspool_cores}
      INSTALL_COMMAND make install_dev
      BUILD_BYPRODUCTS ${_wspool_library})
    install(FILES ${_wspool_library} DESTINATION "${CMAKE_INSTALL_LIBDIR}/wspool" COMPONENT core)
    list(APPEND _wspool_library Threads::Threads ${CMAKE_DL_LIBS})
  endif()
endif()

if(NOT TARGET wspool::openssl)
  add_library(wspool::openssl INTERFACE IMPORTED)
  set_target_properties(wspool::openssl PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_wspool_dir}"
    INTERFACE_LINK_LIBRARIES "${_wspool_library}")
  if(TARGET wspool_openssl)
    add_dependencies(wspool::openssl wspool_openssl)
  endif()
endif()

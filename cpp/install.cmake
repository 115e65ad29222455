# cmake --install <build> --component core: headers, both libraries, the CMake package.
include(CMakePackageConfigHelpers)
set(_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/wspool")

install(TARGETS wspool_core_static wspool_core_shared EXPORT wspoolTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT core
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT core
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT core)
foreach(_header IN LISTS WSPOOL_CORE_HEADERS)
  get_filename_component(_folder "${_header}" DIRECTORY)  # include/wspool/...
  string(REGEX REPLACE "^include" "${CMAKE_INSTALL_INCLUDEDIR}" _folder "${_folder}")
  install(FILES "${_header}" DESTINATION "${_folder}" COMPONENT core)
endforeach()
install(EXPORT wspoolTargets NAMESPACE wspool:: DESTINATION "${_package_dir}" COMPONENT core)

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/wspoolConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/wspoolConfig.cmake" INSTALL_DESTINATION "${_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/wspoolConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/wspoolConfig.cmake"
  "${PROJECT_BINARY_DIR}/wspoolConfigVersion.cmake"
  DESTINATION "${_package_dir}" COMPONENT core)
foreach(_name IN ITEMS dependency websocketpp asio simdjson openssl zlib)
  install(FILES "${PROJECT_SOURCE_DIR}/third_party/${_name}.cmake"
    DESTINATION "${_package_dir}/third_party" COMPONENT core)
endforeach()

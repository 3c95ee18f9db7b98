# What a stranger finds: libraries, headers, find_package(vialsight), vialsight.pc and vialsight_c.pc. The same for a plain
# `cmake --install` and for the wheel, whose folder is the prefix.
include(CMakePackageConfigHelpers)

install(TARGETS vialsight vialsight_c EXPORT vialsightTargets LIBRARY DESTINATION ${VIALSIGHT_LIBRARY_DIR})
install(DIRECTORY include/vialsight ${PROJECT_BINARY_DIR}/include/vialsight DESTINATION ${VIALSIGHT_INCLUDE_DIR}
        FILES_MATCHING PATTERN "*.h")

install(EXPORT vialsightTargets NAMESPACE vialsight:: DESTINATION ${VIALSIGHT_CMAKE_DIR})
configure_package_config_file(cmake/vialsightConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/vialsightConfig.cmake
                              INSTALL_DESTINATION ${VIALSIGHT_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/vialsightConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vialsightConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/vialsightConfigVersion.cmake
        DESTINATION ${VIALSIGHT_CMAKE_DIR})

# Paths from the .pc files' own folder, so that the installed tree can be moved.
file(RELATIVE_PATH VIALSIGHT_PC_LIBRARY_DIR /${VIALSIGHT_PKGCONFIG_DIR} /${VIALSIGHT_LIBRARY_DIR})
file(RELATIVE_PATH VIALSIGHT_PC_INCLUDE_DIR /${VIALSIGHT_PKGCONFIG_DIR} /${VIALSIGHT_INCLUDE_DIR})
foreach(package vialsight vialsight_c)
  configure_file(cmake/${package}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${package}.pc DESTINATION ${VIALSIGHT_PKGCONFIG_DIR})
endforeach()

# What every target of ours is compiled with: vialsight_options (an interface target).
include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  message(FATAL_ERROR "VialSight is built with GCC >= 11 or Clang >= 14, found ${CMAKE_CXX_COMPILER_ID}. "
                      "Run: apt-get install g++, then configure with -DCMAKE_CXX_COMPILER=g++")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
  message(FATAL_ERROR "VialSight needs g++ >= 11 (C++20), found ${CMAKE_CXX_COMPILER_VERSION}. "
                      "Run: apt-get install g++-11, then configure with -DCMAKE_CXX_COMPILER=g++-11")
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

add_library(vialsight_options INTERFACE)
target_compile_features(vialsight_options INTERFACE cxx_std_20)
# -O3 for the loops over pixels, and nothing for targets with VIALSIGHT_QUICK_BUILD: the tests' own code, which takes far
# longer to compile than to run. -ffp-contract=off keeps the scores of one binary equal on machines with and without FMA.
target_compile_options(vialsight_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -ffp-contract=off $<$<BOOL:${VIALSIGHT_WERROR}>:-Werror>
  $<IF:$<BOOL:$<TARGET_PROPERTY:VIALSIGHT_QUICK_BUILD>>,-O0;-g1,$<$<CONFIG:RelWithDebInfo>:-O3>>)
# GCC 12 sees overlapping copies in "text" + std::string (bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(vialsight_options INTERFACE -Wno-restrict)
endif()
if(VIALSIGHT_SANITIZE)
  target_compile_options(vialsight_options INTERFACE -fsanitize=${VIALSIGHT_SANITIZE} -fno-sanitize-recover=all
                                                     -fno-omit-frame-pointer)
  target_compile_definitions(vialsight_options INTERFACE VIALSIGHT_SANITIZED)
  target_link_options(vialsight_options INTERFACE -fsanitize=${VIALSIGHT_SANITIZE})
endif()
if(VIALSIGHT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR NOT VIALSIGHT_SANITIZE MATCHES "address")
    message(FATAL_ERROR "VIALSIGHT_FUZZ needs libFuzzer, hence Clang, and AddressSanitizer; found "
                        "${CMAKE_CXX_COMPILER_ID} and VIALSIGHT_SANITIZE=\"${VIALSIGHT_SANITIZE}\". "
                        "Run: apt-get install clang, then: cmake --preset asan")
  endif()
  target_compile_options(vialsight_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(VIALSIGHT_TIDY)
  find_program(VIALSIGHT_CLANG_TIDY NAMES clang-tidy REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY ${VIALSIGHT_CLANG_TIDY} --warnings-as-errors=*
      --extra-arg=-Wno-unknown-warning-option)  # GCC's own -Wno-restrict below
endif()

# A wheel keeps everything in the package folder; elsewhere the usual GNU folders.
if(SKBUILD)
  set(VIALSIGHT_LIBRARY_DIR ${SKBUILD_PROJECT_NAME})
  set(VIALSIGHT_INCLUDE_DIR ${SKBUILD_PROJECT_NAME}/include)
  set(VIALSIGHT_CMAKE_DIR ${SKBUILD_PROJECT_NAME}/lib/cmake/vialsight)
  set(VIALSIGHT_PKGCONFIG_DIR ${SKBUILD_PROJECT_NAME}/lib/pkgconfig)
else()
  set(VIALSIGHT_LIBRARY_DIR ${CMAKE_INSTALL_LIBDIR})
  set(VIALSIGHT_INCLUDE_DIR ${CMAKE_INSTALL_INCLUDEDIR})
  set(VIALSIGHT_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/vialsight)
  set(VIALSIGHT_PKGCONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

# Where the libraries we build with come from. Each failure names the command that mends it.
if(VIALSIGHT_PYTHON)
  set(PYBIND11_FINDPYTHON ON)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
  find_package(pybind11 3.0 CONFIG REQUIRED)
else()
  find_package(Python 3.10 COMPONENTS Interpreter)
endif()

# nlohmann-json: the distribution's package, or the headers of the PyPI package nlohmann-json.
find_package(nlohmann_json 3.10 CONFIG QUIET)
if(NOT nlohmann_json_FOUND)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "import nlohmann_json, os; print(os.path.dirname(nlohmann_json.__file__))"
    OUTPUT_VARIABLE VIALSIGHT_NLOHMANN OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT EXISTS "${VIALSIGHT_NLOHMANN}/include/nlohmann/json.hpp")
    message(FATAL_ERROR "nlohmann-json >= 3.10 was not found. Run: apt-get install nlohmann-json3-dev, "
                        "or: pip install nlohmann-json, and configure with -DPython_EXECUTABLE=that python")
  endif()
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
  target_include_directories(nlohmann_json::nlohmann_json SYSTEM INTERFACE ${VIALSIGHT_NLOHMANN}/include)
endif()

find_package(Threads REQUIRED)

if(VIALSIGHT_TENSORFLOW)
  find_package(TensorFlowWheel 2.21 REQUIRED)
endif()

# OpenVINO: the wheel of the interpreter, which brings headers and CMake files, or one that is installed. Its libraries'
# names hold the whole version, so that a module runs with the version it was built with.
if(VIALSIGHT_OPENVINO)
  if(Python_EXECUTABLE AND NOT OpenVINO_DIR)
    execute_process(
      COMMAND ${Python_EXECUTABLE} -c "import importlib.util as u, os; print(os.path.dirname(u.find_spec('openvino').origin))"
      OUTPUT_VARIABLE VIALSIGHT_OPENVINO_WHEEL OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(EXISTS "${VIALSIGHT_OPENVINO_WHEEL}/cmake/OpenVINOConfig.cmake")
      set(OpenVINO_DIR ${VIALSIGHT_OPENVINO_WHEEL}/cmake CACHE PATH "Folder of OpenVINOConfig.cmake")
    endif()
  endif()
  find_package(OpenVINO 2026.4 CONFIG QUIET COMPONENTS Runtime)
  if(OpenVINO_FOUND)
    get_target_property(VIALSIGHT_OPENVINO_LIBRARY openvino::runtime IMPORTED_LOCATION_RELEASE)
    get_filename_component(OpenVINO_LIBRARY_DIRECTORY "${VIALSIGHT_OPENVINO_LIBRARY}" DIRECTORY)
  elseif(NOT VIALSIGHT_OPENVINO STREQUAL "AUTO")
    message(FATAL_ERROR "OpenVINO was not found in '${Python_EXECUTABLE}'. Run: pip install 'openvino>=2026.4.1,<2026.5' "
                        "there, and configure with -DPython_EXECUTABLE=that python, or with -DVIALSIGHT_OPENVINO=OFF.")
  endif()
endif()

# Aravis (LGPL-2.1+): GigE Vision cameras of a station. Linked dynamically, as a library of the system. Not asked for as a
# whole: Debian 12's libaravis-dev leaves out libusb-1.0-0-dev, which its aravis-0.8.pc names, and pkg-config then finds nothing.
if(VIALSIGHT_STATION AND VIALSIGHT_ARAVIS)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(GIO QUIET IMPORTED_TARGET gio-2.0)
  endif()
  find_path(ARAVIS_INCLUDE_DIRECTORY arv.h PATH_SUFFIXES aravis-0.8)
  find_library(ARAVIS_LIBRARY aravis-0.8)
  if(GIO_FOUND AND ARAVIS_INCLUDE_DIRECTORY AND ARAVIS_LIBRARY)
    set(ARAVIS_FOUND TRUE)
    add_library(Aravis::Aravis INTERFACE IMPORTED)
    target_include_directories(Aravis::Aravis SYSTEM INTERFACE ${ARAVIS_INCLUDE_DIRECTORY})
    target_link_libraries(Aravis::Aravis INTERFACE ${ARAVIS_LIBRARY} PkgConfig::GIO)
  elseif(NOT VIALSIGHT_ARAVIS STREQUAL "AUTO")
    message(FATAL_ERROR "Aravis was not found. Run: apt-get install libaravis-dev pkg-config, "
                        "or configure with -DVIALSIGHT_ARAVIS=OFF.")
  endif()
endif()

if(VIALSIGHT_TESTS)
  find_package(GTest CONFIG QUIET)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "GoogleTest was not found. Run: apt-get install libgtest-dev libgmock-dev, "
                        "or configure with -DVIALSIGHT_TESTS=OFF")
  endif()
endif()

if(VIALSIGHT_BENCHMARKS)
  find_package(benchmark CONFIG QUIET)
  if(NOT benchmark_FOUND)
    message(FATAL_ERROR "Google Benchmark was not found. Run: apt-get install libbenchmark-dev, "
                        "or configure with -DVIALSIGHT_BENCHMARKS=OFF")
  endif()
endif()

# The commit we are built from, for a bundle's provenance; "unknown" outside a checkout.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} describe --always --dirty --abbrev=40 --exclude=*
                OUTPUT_VARIABLE VIALSIGHT_GIT_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT VIALSIGHT_GIT_REVISION)
  set(VIALSIGHT_GIT_REVISION unknown)
endif()

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

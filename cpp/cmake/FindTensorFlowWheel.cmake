# Finds TensorFlow's C++ libraries and headers inside the pip wheel of the Python interpreter Python_EXECUTABLE.
#
# Result: the imported target TensorFlowWheel::TensorFlowWheel, TensorFlowWheel_VERSION, TensorFlowWheel_DIRECTORY.
#
# Two traps are handled here, both of which link without complaint and fail when run:
# - Distributions link with --as-needed, which drops libtensorflow_cc because only its static initialisers are needed;
#   then no session factory is registered. Hence --no-as-needed around both libraries.
# - The libraries have a version in their file names and no development link, hence -l:NAME.
include(FindPackageHandleStandardArgs)

if(Python_EXECUTABLE AND NOT TensorFlowWheel_FLAGS)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env TF_CPP_MIN_LOG_LEVEL=3 ${Python_EXECUTABLE} -c
            "import tensorflow as tf; c = tf.sysconfig
print(tf.__version__, c.get_lib(), c.get_include(), ' '.join(f for f in c.get_compile_flags() if f.startswith('-D')), sep=';')"
    OUTPUT_VARIABLE TensorFlowWheel_ANSWER OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(TensorFlowWheel_ANSWER)
    list(GET TensorFlowWheel_ANSWER 0 TensorFlowWheel_FOUND_VERSION)
    list(GET TensorFlowWheel_ANSWER 1 TensorFlowWheel_FOUND_DIRECTORY)
    list(GET TensorFlowWheel_ANSWER 2 TensorFlowWheel_FOUND_INCLUDE)
    list(GET TensorFlowWheel_ANSWER 3 TensorFlowWheel_FOUND_FLAGS)
    set(TensorFlowWheel_VERSION ${TensorFlowWheel_FOUND_VERSION} CACHE STRING "TensorFlow version")
    set(TensorFlowWheel_DIRECTORY ${TensorFlowWheel_FOUND_DIRECTORY} CACHE PATH "Folder of libtensorflow_cc.so.2")
    set(TensorFlowWheel_INCLUDE_DIR ${TensorFlowWheel_FOUND_INCLUDE} CACHE PATH "TensorFlow headers")
    set(TensorFlowWheel_FLAGS ${TensorFlowWheel_FOUND_FLAGS} CACHE STRING "ABI definitions of the wheel")
    mark_as_advanced(TensorFlowWheel_VERSION TensorFlowWheel_DIRECTORY TensorFlowWheel_INCLUDE_DIR TensorFlowWheel_FLAGS)
  endif()
endif()

find_file(TensorFlowWheel_CC_LIBRARY libtensorflow_cc.so.2 PATHS ${TensorFlowWheel_DIRECTORY} NO_DEFAULT_PATH)
find_file(TensorFlowWheel_FRAMEWORK_LIBRARY libtensorflow_framework.so.2 PATHS ${TensorFlowWheel_DIRECTORY} NO_DEFAULT_PATH)
find_path(TensorFlowWheel_SESSION_HEADER tensorflow/core/public/session.h PATHS ${TensorFlowWheel_INCLUDE_DIR}
          NO_DEFAULT_PATH)
mark_as_advanced(TensorFlowWheel_CC_LIBRARY TensorFlowWheel_FRAMEWORK_LIBRARY TensorFlowWheel_SESSION_HEADER)

find_package_handle_standard_args(TensorFlowWheel
  REQUIRED_VARS TensorFlowWheel_CC_LIBRARY TensorFlowWheel_FRAMEWORK_LIBRARY TensorFlowWheel_SESSION_HEADER
  VERSION_VAR TensorFlowWheel_VERSION
  REASON_FAILURE_MESSAGE "No TensorFlow wheel in '${Python_EXECUTABLE}'. Run: pip install 'tensorflow-cpu>=2.21,<2.22' \
there, and configure with -DPython_EXECUTABLE=that python, or build without it: -DVIALSIGHT_TENSORFLOW=OFF.")

# The C++ interface of TensorFlow changes between minor versions: exactly the one the wheel was pinned to.
if(TensorFlowWheel_FOUND AND NOT TensorFlowWheel_VERSION MATCHES "^2\\.21\\.")
  message(FATAL_ERROR "VialSight is built against TensorFlow 2.21, found ${TensorFlowWheel_VERSION} in "
                      "'${Python_EXECUTABLE}'. Run: pip install 'tensorflow-cpu>=2.21,<2.22'")
endif()

if(TensorFlowWheel_FOUND AND NOT TARGET TensorFlowWheel::TensorFlowWheel)
  separate_arguments(TensorFlowWheel_DEFINITIONS UNIX_COMMAND "${TensorFlowWheel_FLAGS}")
  add_library(TensorFlowWheel::TensorFlowWheel INTERFACE IMPORTED)
  target_include_directories(TensorFlowWheel::TensorFlowWheel SYSTEM INTERFACE ${TensorFlowWheel_INCLUDE_DIR})
  target_compile_options(TensorFlowWheel::TensorFlowWheel INTERFACE ${TensorFlowWheel_DEFINITIONS})
  target_link_options(TensorFlowWheel::TensorFlowWheel INTERFACE
    -L${TensorFlowWheel_DIRECTORY}
    -Wl,--no-as-needed -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 -Wl,--as-needed)
endif()

# pybind11 2.13 or later, for the Python module only. Headers only. BSD-3-Clause.
# Comes from PyPI: the build requirements in pyproject.toml name it. Target: pybind11::module
#
# The interpreter is the one that asks for the build (scikit-build-core says which), else
# Python_EXECUTABLE, else the first python3.
set(Python_FIND_STRATEGY LOCATION)
set(Python_FIND_VIRTUALENV FIRST)
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT DEFINED pybind11_DIR)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE _pybind11_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(_pybind11_dir)
    set(pybind11_DIR "${_pybind11_dir}")
  endif()
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 2.13 CONFIG)
if(NOT pybind11_FOUND)
  message(FATAL_ERROR
    "pybind11 2.13 or later was not found. Run: ${Python_EXECUTABLE} -m pip install pybind11")
endif()

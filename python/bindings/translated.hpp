#pragma once

#include <pybind11/pybind11.h>

#include <exception>

namespace wspool::python {

/// Runs `function`, which uses pybind11, where a C function is expected.
template <class F>
PyObject* translated(F&& function) {
    try {
        return pybind11::object(function()).release().ptr();
    } catch (pybind11::error_already_set& error) {
        error.restore();
    } catch (const pybind11::builtin_exception& error) {
        error.set_error();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

template <class F>
PyCFunction as_function(F* function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace wspool::python

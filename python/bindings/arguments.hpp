#pragma once

#include <Python.h>

#include <array>
#include <cstddef>

namespace wspool::python {

/// The parameters of a function that takes its arguments by METH_FASTCALL | METH_KEYWORDS.
template <std::size_t Count>
struct signature {
    const char* function;
    std::array<const char*, Count> names;
    std::size_t required = 0;

    /// Sorts the arguments into `values`, borrowed; null where one was not given. False with an
    /// exception set.
    bool take(PyObject* const* args, Py_ssize_t count, PyObject* keywords,
              std::array<PyObject*, Count>& values) const {
        if (count > static_cast<Py_ssize_t>(Count)) {
            PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments", function, Count);
            return false;
        }
        for (Py_ssize_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = args[i];
        const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
        for (Py_ssize_t i = 0; i < named; ++i) {
            PyObject* const name = PyTuple_GET_ITEM(keywords, i);
            std::size_t place = 0;
            while (place < Count && PyUnicode_CompareWithASCIIString(name, names[place]) != 0)
                ++place;
            if (place == Count || values[place] != nullptr) {
                PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument %R", function, name);
                return false;
            }
            values[place] = args[count + i];
        }
        for (std::size_t i = 0; i < required; ++i) {
            if (values[i] != nullptr) continue;
            PyErr_Format(PyExc_TypeError, "%s() misses its argument '%s'", function, names[i]);
            return false;
        }
        return true;
    }
};

/// None and what was not given.
inline bool is_absent(PyObject* value) noexcept { return value == nullptr || value == Py_None; }

}  // namespace wspool::python

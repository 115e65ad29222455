#pragma once

#include <Python.h>
#include <pybind11/pybind11.h>

#include <memory>

#include "wspool/log.hpp"
#include "wspool/reconnect.hpp"

namespace wspool::python {

/// A reference to a Python object that any thread may let go.
class held_object {
public:
    /// GIL held.
    explicit held_object(PyObject* object) : object_(object) { Py_INCREF(object_); }
    ~held_object();
    held_object(const held_object&) = delete;
    held_object& operator=(const held_object&) = delete;
    [[nodiscard]] PyObject* get() const noexcept { return object_; }

private:
    PyObject* object_;
};

/// `write(level, topic, text)` of Python, called from the level on that it says. GIL held.
std::shared_ptr<log_c> make_log(const pybind11::object& write, int least_level);
/// `prepare(attempt, ticket)` and `judge(error, was_open, by_default, ticket)` of Python; each may
/// be None. GIL held.
std::shared_ptr<attempt_source_c> make_source(const pybind11::object& prepare,
                                              const pybind11::object& judge);

}  // namespace wspool::python

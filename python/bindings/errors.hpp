#pragma once

#include <Python.h>

#include "wspool/error.hpp"
#include "wspool/event.hpp"

namespace wspool::python {

/// (code name, message, HTTP status, errno): how a native failure crosses into Python.
/// New reference, null with an exception set on failure.
PyObject* error_tuple(const error_c& error);

/// Sets the Python exception for a native failure; returns null. `source` is the connection
/// concerned, or null. What the exception is, Python decides: set_error_translator.
PyObject* raise_error(const error_c& error, PyObject* source);

/// The same for an object of the process before fork().
PyObject* raise_wrong_process(PyObject* source);

/// What Python makes of an event. New reference, null with an exception set on failure.
PyObject* make_event(const event_t& event);

}  // namespace wspool::python

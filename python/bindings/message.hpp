#pragma once

#include <Python.h>

#include "wspool/listener.hpp"

namespace wspool::python {

/// A wspool.Message with a copy of the payload. New reference, or null with an exception set.
PyObject* make_message(const message_view_t& message);

}  // namespace wspool::python

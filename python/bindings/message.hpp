#pragma once

#include <Python.h>

#include "wspool/listener.hpp"

namespace wspool::python {

/// A wspool.Message with a copy of the payload. New reference, or null with an exception set.
PyObject* make_message(const message_view_t& view);

/// Lends callbacks one wspool.Message after the other, without a copy of the payload. One that is
/// still referred to when its callback has returned gets a copy then, and the next is a new one;
/// usually none is, and the same object serves again. GIL held, destructor included.
///
/// Nothing here has a destructor that touches Python: see gil.hpp. `end` must be called.
class message_lender {
public:
    /// The message for the next call; borrowed, null with an exception set.
    PyObject* lend(const message_view_t& view);
    /// The call has returned, and `view`'s bytes may go. False with an exception set if there was
    /// no memory for a copy.
    bool take_back();
    void end() { Py_CLEAR(message_); }

private:
    PyObject* message_ = nullptr;
};

}  // namespace wspool::python

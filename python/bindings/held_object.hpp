#pragma once

#include <Python.h>

#include <memory>

namespace wspool::python {

/// A reference to a Python object that any thread may let go, without waiting for the GIL: a
/// connection's end may come on a loop's thread, where all the other connections would wait as
/// well.
class held_object {
public:
    /// GIL held.
    explicit held_object(PyObject* object);
    /// Drops the reference at once under the GIL. Else the interpreter's main thread does it soon.
    ~held_object();
    held_object(const held_object&) = delete;
    held_object& operator=(const held_object&) = delete;
    [[nodiscard]] PyObject* get() const noexcept { return reference_->object; }

    struct reference {
        PyObject* object;
        reference* next;  // of those that are to be dropped
    };

private:
    std::unique_ptr<reference> reference_;
};

}  // namespace wspool::python

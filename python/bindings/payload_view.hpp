#pragma once

#include <Python.h>

#include <cstddef>
#include <string_view>

namespace wspool::python {

/// A str or a bytes-like object as bytes; released when it goes. GIL held.
class payload_view {
public:
    payload_view() = default;
    ~payload_view() {
        Py_XDECREF(copy_);
        if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
    }
    payload_view(const payload_view&) = delete;
    payload_view& operator=(const payload_view&) = delete;

    /// Whether `take` accepts the object's type.
    [[nodiscard]] static bool accepts(PyObject* object) noexcept {
        return PyUnicode_Check(object) || PyObject_CheckBuffer(object);
    }

    /// False with an exception set.
    bool take(PyObject* object, const char* argument) {
        if (PyUnicode_Check(object)) {
            is_text_ = true;
            Py_ssize_t size = 0;
            const char* const data = PyUnicode_AsUTF8AndSize(object, &size);
            if (data == nullptr) return false;
            view_ = {data, static_cast<std::size_t>(size)};
            return true;
        }
        if (PyBytes_CheckExact(object)) {
            view_ = {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
            return true;
        }
        if (!PyObject_CheckBuffer(object)) {
            PyErr_Format(PyExc_TypeError, "%s must be str or bytes-like, not %.100s", argument,
                         Py_TYPE(object)->tp_name);
            return false;
        }
        if (PyObject_GetBuffer(object, &buffer_, PyBUF_SIMPLE) != 0) {
            if (!PyErr_ExceptionMatches(PyExc_BufferError)) return false;
            PyErr_Clear();  // not contiguous
            copy_ = PyBytes_FromObject(object);
            if (copy_ == nullptr) return false;
            view_ = {PyBytes_AS_STRING(copy_), static_cast<std::size_t>(PyBytes_GET_SIZE(copy_))};
            return true;
        }
        view_ = {static_cast<const char*>(buffer_.buf), static_cast<std::size_t>(buffer_.len)};
        return true;
    }

    [[nodiscard]] std::string_view view() const noexcept { return view_; }
    [[nodiscard]] bool is_text() const noexcept { return is_text_; }

private:
    Py_buffer buffer_{};
    PyObject* copy_ = nullptr;
    std::string_view view_;
    bool is_text_ = false;
};

}  // namespace wspool::python

#include <Python.h>

#include "pull.hpp"

namespace wspool::python {
namespace {

/// What `__anext__` returns. Awaited, it takes a message that is there, at a fraction of a
/// coroutine's price; only if there is none it makes one, `_anext_later`, and passes everything on
/// to it. Before it is awaited it takes nothing, so none is lost if that never happens.
struct next_object {
    PyObject_HEAD PyObject* connection;  ///< owned; null once the result has been given
    PyObject* later;                     ///< owned; null before it was needed
};

extern PyTypeObject next_type;

/// One freed object, kept for the next message: `async for` drops it before it asks again.
next_object* spare = nullptr;

next_object* next_of(PyObject* object) { return reinterpret_cast<next_object*>(object); }

/// __anext__
PyObject* make_next(PyObject* connection) {
    next_object* made = spare;
    if (made != nullptr) {
        spare = nullptr;
        PyObject_Init(reinterpret_cast<PyObject*>(made), &next_type);
    } else {
        made = PyObject_GC_New(next_object, &next_type);
        if (made == nullptr) return nullptr;
    }
    Py_INCREF(connection);
    made->connection = connection;
    made->later = nullptr;
    PyObject_GC_Track(made);
    return reinterpret_cast<PyObject*>(made);
}

/// A task that is dropped while it waits is in a cycle with what it waits for, this included.
int traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(next_of(object)->connection);
    Py_VISIT(next_of(object)->later);
    return 0;
}

int clear(PyObject* object) {
    Py_CLEAR(next_of(object)->connection);
    Py_CLEAR(next_of(object)->later);
    return 0;
}

void deallocate(PyObject* object) {
    PyObject_GC_UnTrack(object);
    clear(object);
    if (spare == nullptr)
        spare = next_of(object);
    else
        PyObject_GC_Del(object);
}

/// The coroutine, made if need be; borrowed.
PyObject* later_of(next_object* self) {
    if (self->connection == nullptr) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited __anext__()");
        return nullptr;
    }
    if (self->later == nullptr)
        self->later = PyObject_CallMethod(self->connection, "_anext_later", nullptr);
    return self->later;
}

PySendResult send(PyObject* object, PyObject* value, PyObject** result) {
    auto* const self = next_of(object);
    *result = nullptr;
    if (self->later == nullptr && self->connection != nullptr) {
        *result = next_in_turn(self->connection, decode_e::BY_TYPE);
        if (*result == nullptr && PyErr_Occurred() != nullptr) return PYGEN_ERROR;
    }
    PySendResult sent = PYGEN_RETURN;
    if (*result == nullptr) {
        PyObject* const later = later_of(self);
        sent = later == nullptr ? PYGEN_ERROR : PyIter_Send(later, value, result);
    }
    if (sent == PYGEN_RETURN) Py_CLEAR(self->connection);
    return sent;
}

/// For who drives the awaitable as an iterator.
PyObject* iterate(PyObject* object) {
    PyObject* result = nullptr;
    const PySendResult sent = send(object, Py_None, &result);
    if (sent != PYGEN_RETURN) return result;
    PyErr_SetObject(PyExc_StopIteration, result);  // str or bytes: never unpacked as arguments
    Py_DECREF(result);
    return nullptr;
}

PyObject* throw_into(PyObject* object, PyObject* args) {
    PyObject* const later = later_of(next_of(object));
    if (later == nullptr) return nullptr;
    PyObject* const method = PyObject_GetAttrString(later, "throw");
    PyObject* const result = method == nullptr ? nullptr : PyObject_CallObject(method, args);
    Py_XDECREF(method);
    return result;
}

PyObject* close(PyObject* object, PyObject* /*unused*/) {
    auto* const self = next_of(object);
    if (self->later != nullptr) return PyObject_CallMethod(self->later, "close", nullptr);
    Py_CLEAR(self->connection);
    Py_RETURN_NONE;
}

PyMethodDef next_methods[] = {
    {"throw", throw_into, METH_VARARGS, nullptr},
    {"close", close, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* self_of(PyObject* object) {
    Py_INCREF(object);
    return object;
}

PyAsyncMethods next_async_methods = {self_of, nullptr, nullptr, send};

PyTypeObject next_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.NextMessage";
    type.tp_basicsize = sizeof(next_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    type.tp_dealloc = deallocate;
    type.tp_traverse = traverse;
    type.tp_clear = clear;
    type.tp_as_async = &next_async_methods;
    type.tp_iter = PyObject_SelfIter;
    type.tp_iternext = iterate;
    type.tp_methods = next_methods;
    return type;
}();

PyAsyncMethods async_pull_methods = {nullptr, self_of, make_next, nullptr};

}  // namespace

PyTypeObject async_pull_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.AsyncPullConnection";
    type.tp_doc = "A PullConnection that can be iterated asynchronously.";
    type.tp_basicsize = sizeof(pull_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    type.tp_base = &pull_type;
    type.tp_as_async = &async_pull_methods;
    return type;
}();

int ready_async_types() {
    if (PyType_Ready(&next_type) != 0) return -1;
    return PyType_Ready(&async_pull_type);
}

}  // namespace wspool::python

#include <Python.h>

#include "pull.hpp"

namespace wspool::python {
namespace {

/// An awaitable that has its result already: what `__anext__` returns for a message that is
/// there, at a fraction of a coroutine's price.
struct ready_object {
    PyObject_HEAD PyObject* result;  ///< owned; null once it has been awaited
};

extern PyTypeObject ready_type;

/// One freed object, kept for the next message: `async for` drops it before it asks again.
ready_object* spare = nullptr;

PyObject* make_ready(PyObject* result) {
    ready_object* ready = spare;
    if (ready != nullptr) {
        spare = nullptr;
        PyObject_Init(reinterpret_cast<PyObject*>(ready), &ready_type);
    } else {
        ready = PyObject_New(ready_object, &ready_type);
        if (ready == nullptr) {
            Py_DECREF(result);
            return nullptr;
        }
    }
    ready->result = result;
    return reinterpret_cast<PyObject*>(ready);
}

void deallocate(PyObject* object) {
    auto* const ready = reinterpret_cast<ready_object*>(object);
    Py_XDECREF(ready->result);
    if (spare == nullptr)
        spare = ready;
    else
        PyObject_Free(object);
}

PyObject* take_result(PyObject* object) {
    PyObject* const result = reinterpret_cast<ready_object*>(object)->result;
    if (result == nullptr) PyErr_SetString(PyExc_RuntimeError, "a message cannot be awaited twice");
    reinterpret_cast<ready_object*>(object)->result = nullptr;
    return result;
}

PySendResult send(PyObject* object, PyObject* /*value*/, PyObject** result) {
    *result = take_result(object);
    return *result == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
}

/// For who drives the awaitable by hand.
PyObject* iterate(PyObject* object) {
    PyObject* const result = take_result(object);
    if (result == nullptr) return nullptr;
    PyErr_SetObject(PyExc_StopIteration, result);  // str or bytes: never unpacked as arguments
    Py_DECREF(result);
    return nullptr;
}

PyObject* self_of(PyObject* object) {
    Py_INCREF(object);
    return object;
}

PyAsyncMethods ready_async_methods = {self_of, nullptr, nullptr, send};

PyTypeObject ready_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.ReadyMessage";
    type.tp_basicsize = sizeof(ready_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    type.tp_dealloc = deallocate;
    type.tp_as_async = &ready_async_methods;
    type.tp_iter = PyObject_SelfIter;
    type.tp_iternext = iterate;
    return type;
}();

/// __anext__: the message if there is one; else what Python's `_anext_later` returns.
PyObject* next_async(PyObject* self) {
    PyObject* const message = next_in_turn(self, decode_e::BY_TYPE);
    if (message != nullptr) return make_ready(message);
    if (PyErr_Occurred() != nullptr) return nullptr;
    return PyObject_CallMethod(self, "_anext_later", nullptr);
}

PyAsyncMethods async_pull_methods = {nullptr, self_of, next_async, nullptr};

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
    if (PyType_Ready(&ready_type) != 0) return -1;
    return PyType_Ready(&async_pull_type);
}

}  // namespace wspool::python

#include <Python.h>

#include "pull.hpp"

namespace wspool::python {
namespace {

/// How a message is handed out; null is iteration. Checked by who stores it.
decode_e decode_of(PyObject* decode) {
    if (decode == nullptr || decode == Py_None) return decode_e::BY_TYPE;
    return decode == Py_True ? decode_e::TO_TEXT : decode_e::TO_BYTES;
}

/// What `__anext__` and `_receive` return. Awaited, it takes a message that is there, at a fraction
/// of a coroutine's price, and waits for one by a future of the event loop. Only what is rare, the
/// end and its exceptions, is left to a coroutine: `_anext_later` or `_recv_later`, to which
/// everything is passed on then. Before it is awaited it takes nothing, so none is lost if that
/// never happens.
struct next_object {
    PyObject_HEAD PyObject* connection;  ///< owned; null once the result has been given
    PyObject* later;                     ///< owned; null before it was needed
    PyObject* waiter;                    ///< owned; the future that is waited for, or None: a turn
    PyObject* decode;                    ///< owned; null for iteration
};

extern PyTypeObject next_type;

PyObject* new_waiter_name = nullptr;  // made once, never freed

/// One freed object, kept for the next message: `async for` drops it before it asks again.
next_object* spare = nullptr;

next_object* next_of(PyObject* object) { return reinterpret_cast<next_object*>(object); }

PyObject* make(PyObject* connection, PyObject* decode) {
    next_object* made = spare;
    if (made != nullptr) {
        spare = nullptr;
        PyObject_Init(reinterpret_cast<PyObject*>(made), &next_type);
    } else {
        made = PyObject_GC_New(next_object, &next_type);
        if (made == nullptr) return nullptr;
    }
    Py_INCREF(connection);
    Py_XINCREF(decode);
    made->connection = connection;
    made->later = nullptr;
    made->waiter = nullptr;
    made->decode = decode;
    PyObject_GC_Track(made);
    return reinterpret_cast<PyObject*>(made);
}

/// __anext__
PyObject* make_next(PyObject* connection) { return make(connection, nullptr); }

/// A task that is dropped while it waits is in a cycle with what it waits for, this included.
int traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(next_of(object)->connection);
    Py_VISIT(next_of(object)->later);
    Py_VISIT(next_of(object)->waiter);
    Py_VISIT(next_of(object)->decode);
    return 0;
}

int clear(PyObject* object) {
    Py_CLEAR(next_of(object)->connection);
    Py_CLEAR(next_of(object)->later);
    Py_CLEAR(next_of(object)->waiter);
    Py_CLEAR(next_of(object)->decode);
    return 0;
}

/// The wait is over, one way or the other: others may receive.
void wait_ended(next_object* self) {
    if (self->waiter == nullptr) return;
    pull_of(self->connection)->receiving = false;
    Py_CLEAR(self->waiter);
}

/// The wait was given up, so the future may never be done. -1 with an exception set.
int give_up_waiting(next_object* self) {
    if (self->connection == nullptr || self->waiter == nullptr) return 0;
    PyObject* const waiters = PyObject_GetAttrString(self->connection, "_waiters");
    const int discarded = waiters == nullptr ? -1 : PySet_Discard(waiters, self->waiter);
    Py_XDECREF(waiters);
    wait_ended(self);
    return discarded;
}

void deallocate(PyObject* object) {
    PyObject_GC_UnTrack(object);
    if (next_of(object)->connection != nullptr) wait_ended(next_of(object));
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
    if (self->later == nullptr) {
        self->later =
            self->decode == nullptr
                ? PyObject_CallMethod(self->connection, "_anext_later", nullptr)
                : PyObject_CallMethod(self->connection, "_recv_later", "OO", Py_None, self->decode);
    }
    return self->later;
}

/// What to wait for, or null: with an exception set, or because the end has come.
PyObject* wait_for_more(next_object* self, PyObject** message) {
    auto* const pull = pull_of(self->connection);
    if (pull->spent) {
        Py_INCREF(Py_None);  // one turn for the loop's other tasks
        return Py_None;
    }
    while (true) {
        // Asked before the queue: what came before the end is in it then.
        const bool ended = pull->queue->Has_ended();
        *message = next_in_turn(self->connection, decode_of(self->decode));
        if (*message != nullptr || PyErr_Occurred() != nullptr || ended) return nullptr;
        if (!pull->queue->Arm(message_queue_c::READABLE))
            return PyObject_CallMethodNoArgs(self->connection, new_waiter_name);
    }
}

PySendResult send(PyObject* object, PyObject* value, PyObject** result) {
    auto* const self = next_of(object);
    *result = nullptr;
    if (self->later == nullptr && self->connection != nullptr) {
        wait_ended(self);
        *result = next_in_turn(self->connection, decode_of(self->decode));
        if (*result == nullptr && PyErr_Occurred() == nullptr) {
            PyObject* const waiter = wait_for_more(self, result);
            if (waiter != nullptr) {
                pull_of(self->connection)->receiving = true;
                Py_INCREF(waiter);
                self->waiter = waiter;
                *result = waiter;
                return PYGEN_NEXT;
            }
        }
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

/// Such as the CancelledError of a task that waits. It goes through a coroutine, which knows the
/// forms that `throw` takes.
PyObject* throw_into(PyObject* object, PyObject* args) {
    auto* const self = next_of(object);
    if (give_up_waiting(self) < 0) return nullptr;
    PyObject* const later = later_of(self);
    if (later == nullptr) return nullptr;
    PyObject* const method = PyObject_GetAttrString(later, "throw");
    PyObject* const result = method == nullptr ? nullptr : PyObject_CallObject(method, args);
    Py_XDECREF(method);
    return result;
}

PyObject* close(PyObject* object, PyObject* /*unused*/) {
    auto* const self = next_of(object);
    if (self->later != nullptr) return PyObject_CallMethod(self->later, "close", nullptr);
    if (give_up_waiting(self) < 0) return nullptr;
    Py_CLEAR(self->connection);
    Py_RETURN_NONE;
}

/// _receive(decode): what `recv` awaits.
PyObject* receive(PyObject* connection, PyObject* decode) {
    if (decode == Py_None) return make(connection, decode);
    const int truth = PyObject_IsTrue(decode);
    return truth < 0 ? nullptr : make(connection, truth == 1 ? Py_True : Py_False);
}

PyMethodDef async_pull_methods[] = {
    {"_receive", receive, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

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

PyAsyncMethods async_pull_slots = {nullptr, self_of, make_next, nullptr};

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
    type.tp_as_async = &async_pull_slots;
    type.tp_methods = async_pull_methods;
    return type;
}();

int ready_async_types() {
    new_waiter_name = PyUnicode_InternFromString("_new_waiter");
    if (new_waiter_name == nullptr) return -1;
    if (PyType_Ready(&next_type) != 0) return -1;
    return PyType_Ready(&async_pull_type);
}

}  // namespace wspool::python

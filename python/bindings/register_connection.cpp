#include <new>
#include <utility>

#include "connection.hpp"
#include "errors.hpp"
#include "lifecycle.hpp"
#include "registers.hpp"

namespace wspool::python {
namespace {

PyObject* construct(PyTypeObject* type, PyObject* /*args*/, PyObject* /*keywords*/) {
    PyObject* const object = type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    auto* const self = connection_of(object);
    new (&self->handle) std::shared_ptr<metadata_c>;
    self->generation = process_generation();
    new (&self->callbacks_disabled) std::atomic<bool>(false);
    return object;
}

void deallocate(PyObject* object) {
    auto* const self = connection_of(object);
    // A parent's connection may be half way through anything, and at exit its thread may still
    // be at work: then it is leaked.
    if (self->generation == process_generation() && python_is_usable())
        self->handle.~shared_ptr();
    else
        new std::shared_ptr<metadata_c>(std::move(self->handle));
    Py_TYPE(object)->tp_free(object);
}

}  // namespace

PyTypeObject connection_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.Connection";
    type.tp_doc = "The native part of wspool.Connection.";
    type.tp_basicsize = sizeof(connection_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    type.tp_new = construct;
    type.tp_dealloc = deallocate;
    type.tp_methods = connection_methods;
    type.tp_getset = connection_attributes;
    return type;
}();

void attach(PyObject* connection, std::shared_ptr<metadata_c> handle) {
    auto* const self = connection_of(connection);
    if (self->handle) return;
    self->generation = process_generation();
    self->handle = std::move(handle);
}

metadata_c* handle_of(PyObject* object) {
    auto* const self = connection_of(object);
    if (!self->handle) {
        PyErr_SetString(PyExc_RuntimeError,
                        "not a connection yet; Endpoint.create_new_connection() makes them");
        return nullptr;
    }
    if (self->generation != process_generation()) {
        raise_wrong_process(object);
        return nullptr;
    }
    return self->handle.get();
}

void register_connection(pybind11::module_& module) {
    if (PyType_Ready(&connection_type) != 0) throw pybind11::error_already_set();
    module.add_object("Connection", reinterpret_cast<PyObject*>(&connection_type));
}

}  // namespace wspool::python

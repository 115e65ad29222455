#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "convert.hpp"
#include "gil.hpp"
#include "lifecycle.hpp"
#include "pull.hpp"
#include "registers.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

/// glibc gives the end of the heap back to the system when 128 KB of it are free, so a list of long
/// strings that is dropped and made anew costs page faults each time. It raises that bound by
/// itself as soon as a block of a few megabytes has been freed, as NumPy users do all the time;
/// this does it at once: twice this much may stay with the process.
void have_malloc_keep_what_lists_need() {
    constexpr std::size_t size = std::size_t{4} << 20U;
    void* volatile block = std::malloc(size);  // volatile: not to be left out
    std::free(block);
}

PyObject* construct(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    PyObject* const object = connection_type.tp_new(type, args, keywords);
    if (object == nullptr) return nullptr;
    auto* const self = pull_of(object);
    new (&self->queue) std::shared_ptr<message_queue_c>;
    new (&self->held) message_queue_c::item_t;
    self->holds = false;
    self->last_gap = 0;
    self->receiving = false;
    self->spent = false;
    self->taken_in_a_row = 0;
    return object;
}

void deallocate(PyObject* object) {
    auto* const self = pull_of(object);
    // See connection_object's: what belongs to a parent process or outlives Python is leaked.
    if (self->base.generation == process_generation() && python_is_usable()) {
        // Nobody can take its messages any more.
        if (self->base.handle && self->queue && !self->queue->Has_ended())
            self->base.handle->Abort();
        self->queue.~shared_ptr();
    } else {
        new std::shared_ptr<message_queue_c>(std::move(self->queue));
    }
    connection_type.tp_dealloc(object);
}

int traverse_iterator(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(reinterpret_cast<iterator_object*>(object)->connection);
    return 0;
}

/// Nothing to clear: a cycle also goes through the connection, which can be.
void deallocate_iterator(PyObject* object) {
    PyObject_GC_UnTrack(object);
    Py_DECREF(reinterpret_cast<iterator_object*>(object)->connection);
    PyObject_GC_Del(object);
}

py::object round_trip(const pong_c& pong) {
    const auto took = pong.Round_trip();
    if (!took) return py::none();
    return py::float_(std::chrono::duration<double>(*took).count());
}

bool wait(const pong_c& pong, const py::object& timeout) {
    return wait_in_slices(seconds_or_none(timeout),
                          [&](auto slice) { return const_cast<pong_c&>(pong).Wait(slice); });
}

py::list take(ready_list_c& ready) {
    const auto numbers = ready.Take();
    py::list list;
    for (const auto number : numbers) list.append(number);
    return list;
}

}  // namespace

PyTypeObject pull_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.PullConnection";
    type.tp_doc = "The native part of a connection whose messages are pulled from a queue.";
    type.tp_basicsize = sizeof(pull_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    type.tp_base = &connection_type;
    type.tp_new = construct;
    type.tp_dealloc = deallocate;
    type.tp_methods = pull_methods;
    type.tp_getset = pull_attributes;
    return type;
}();

PyTypeObject iterator_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool._core.MessageIterator";
    type.tp_doc = "Receives message after message until the connection has ended in order.";
    type.tp_basicsize = sizeof(iterator_object);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    type.tp_dealloc = deallocate_iterator;
    type.tp_traverse = traverse_iterator;
    type.tp_iter = PyObject_SelfIter;
    type.tp_iternext = next_message;
    return type;
}();

void register_pull(py::module_& module) {
    have_malloc_keep_what_lists_need();
    if (PyType_Ready(&pull_type) != 0 || PyType_Ready(&iterator_type) != 0 ||
        ready_async_types() != 0)
        throw py::error_already_set();
    if (PyModule_AddFunctions(module.ptr(), pull_functions) != 0) throw py::error_already_set();
    module.add_object("PullConnection", reinterpret_cast<PyObject*>(&pull_type));
    module.add_object("AsyncPullConnection", reinterpret_cast<PyObject*>(&async_pull_type));
    py::class_<ready_list_c, std::shared_ptr<ready_list_c>>(module, "ReadyList")
        .def(py::init<>())
        .def_property_readonly("descriptor", &ready_list_c::Descriptor)
        .def("take", &take);
    py::class_<pong_c, std::shared_ptr<pong_c>>(module, "Pong")
        .def(py::init<std::shared_ptr<ready_list_c>, std::uint64_t>(), py::arg("ready") = nullptr,
             py::arg("number") = 0)
        .def_property_readonly("done", &pong_c::Is_done)
        .def_property_readonly("close_frames",
                               [](const pong_c& pong) { return pong.Frames().to_python(); })
        .def_property_readonly("round_trip", &round_trip)
        .def("wait", &wait);
}

}  // namespace wspool::python

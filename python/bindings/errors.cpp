#include "errors.hpp"

#include "convert.hpp"
#include "gil.hpp"
#include "registers.hpp"

namespace wspool::python {
namespace {

/// translator(native, connection or None) -> exception; set once, when the package is imported.
PyObject* translator = nullptr;
/// event_maker(kind, generation, time_ns, since_ns, attempt, code, reason) -> event; the same.
PyObject* event_maker = nullptr;

const char* code_name(error_e code) noexcept {
    switch (code) {
        case error_e::INVALID_ARGUMENT:
            return "INVALID_ARGUMENT";
        case error_e::INVALID_URI:
            return "INVALID_URI";
        case error_e::INVALID_STATE:
            return "INVALID_STATE";
        case error_e::UNKNOWN_CONNECTION:
            return "UNKNOWN_CONNECTION";
        case error_e::RESOLVE:
            return "RESOLVE";
        case error_e::CONNECT:
            return "CONNECT";
        case error_e::TLS:
            return "TLS";
        case error_e::TLS_VERIFY:
            return "TLS_VERIFY";
        case error_e::TIMEOUT:
            return "TIMEOUT";
        case error_e::HANDSHAKE:
            return "HANDSHAKE";
        case error_e::STATUS:
            return "STATUS";
        case error_e::UPGRADE:
            return "UPGRADE";
        case error_e::NEGOTIATION:
            return "NEGOTIATION";
        case error_e::PROXY:
            return "PROXY";
        case error_e::PREPARATION:
            return "PREPARATION";
        case error_e::SECURITY:
            return "SECURITY";
        case error_e::PROTOCOL:
            return "PROTOCOL";
        case error_e::PAYLOAD_TOO_BIG:
            return "PAYLOAD_TOO_BIG";
        case error_e::BUFFER_FULL:
            return "BUFFER_FULL";
        case error_e::END_OF_STREAM:
            return "END_OF_STREAM";
        case error_e::QUEUE_FULL:
            return "QUEUE_FULL";
        case error_e::CONCURRENCY:
            return "CONCURRENCY";
        case error_e::CLOSED:
            return "CLOSED";
        case error_e::ABORTED:
            return "ABORTED";
        case error_e::WRONG_PROCESS:
            return "WRONG_PROCESS";
    }
    return "UNKNOWN";
}

void set_error_translator(pybind11::function function) {
    Py_XDECREF(translator);
    translator = function.release().ptr();
}

void set_event_maker(pybind11::function function) {
    Py_XDECREF(event_maker);
    event_maker = function.release().ptr();
}

}  // namespace

PyObject* make_event(const event_t& event) {
    PyObject* const reason = decode_lenient(event.reason);
    PyObject* const args =
        reason == nullptr ? nullptr
                          : Py_BuildValue("(iILLIiN)", static_cast<int>(event.kind),
                                          event.generation, static_cast<long long>(event.time_ns),
                                          static_cast<long long>(event.since_ns), event.attempt,
                                          static_cast<int>(event.code), reason);
    if (args == nullptr) return nullptr;
    PyObject* const made = guarded([&] { return PyObject_CallObject(event_maker, args); });
    Py_DECREF(args);
    return made;
}

PyObject* error_tuple(const error_c& error) {
    PyObject* const message = decode_lenient(error.Error_msg());
    if (message == nullptr) return nullptr;
    return Py_BuildValue("(sNii)", code_name(error.Code()), message, error.Http_status(),
                         error.System_code());
}

PyObject* raise_error(const error_c& error, PyObject* source) {
    if (translator == nullptr) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s", code_name(error.Code()),
                     error.Error_msg().c_str());
        return nullptr;
    }
    PyObject* const native = error_tuple(error);
    if (native == nullptr) return nullptr;
    PyObject* const exception = guarded([&] {
        return PyObject_CallFunctionObjArgs(translator, native,
                                            source == nullptr ? Py_None : source, nullptr);
    });
    Py_DECREF(native);
    if (exception == nullptr) return nullptr;
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    Py_DECREF(exception);
    return nullptr;
}

PyObject* raise_wrong_process(PyObject* source) {
    return raise_error(
        error_c(error_e::WRONG_PROCESS,
                "made before fork(), so it belongs to the parent process; make a new one here"),
        source);
}

void register_errors(pybind11::module_& module) {
    module.def("set_error_translator", &set_error_translator);
    module.def("set_event_maker", &set_event_maker);
}

}  // namespace wspool::python

#include "listener.hpp"

#include "connection.hpp"
#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "message.hpp"

namespace wspool::python {
namespace {

// Inside `guarded` there is no object with a destructor that would touch Python: see gil.hpp.

/// connection.name(*args); steals `args`, which may be null with an exception set.
void call_method(PyObject* connection, const char* name, PyObject* args) {
    PyObject* const method = args == nullptr ? nullptr : PyObject_GetAttrString(connection, name);
    PyObject* const result = method == nullptr ? nullptr : PyObject_CallObject(method, args);
    // These methods handle what the user's callbacks raise; this would be a mistake of ours.
    if (result == nullptr) PyErr_WriteUnraisable(connection);
    Py_XDECREF(result);
    Py_XDECREF(method);
    Py_XDECREF(args);
}

PyObject* take_exception() {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject* type = nullptr;
    PyObject* value = nullptr;
    PyObject* traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/// The exception that is set goes to the connection, which tells the user.
void report_exception(PyObject* connection) {
    PyObject* const exception = take_exception();
    call_method(connection, "_callback_failed", Py_BuildValue("(N)", exception));
}

}  // namespace

python_listener::python_listener(PyObject* connection, PyObject* on_message, bool takes_events)
    : connection_(connection), on_message_(on_message), takes_events_(takes_events) {
    Py_INCREF(connection_);
    Py_XINCREF(on_message_);
}

python_listener::~python_listener() {
    if (connection_ == nullptr) return;
    const gil_lock gil;
    if (gil) guarded([this] { python_listener::release(); });
}

bool python_listener::is_disabled() const noexcept {
    return connection_of(connection_)->callbacks_disabled;
}

void python_listener::report() { report_exception(connection_); }

void python_listener::release() noexcept {
    Py_CLEAR(on_message_);
    Py_CLEAR(connection_);
}

void python_listener::On_open(metadata_c& connection) {
    const gil_lock gil;
    if (!gil || connection_ == nullptr) return;
    attach(connection_, connection.shared_from_this());
    guarded([this] { call_method(connection_, "_on_open", PyTuple_New(0)); });
}

void python_listener::On_messages(metadata_c& /*connection*/, const message_view_t* messages,
                                  std::size_t count) {
    if (on_message_ == nullptr || connection_of(connection_)->callbacks_disabled) return;
    const gil_lock gil;
    if (!gil) return;
    guarded([&] {
        message_lender lender;
        for (const auto* message = messages; message != messages + count; ++message) {
            if (connection_of(connection_)->callbacks_disabled) break;
            PyObject* const object = lender.lend(*message);
            PyObject* result = nullptr;
            if (object != nullptr) {
                PyObject* args[] = {nullptr, connection_, object};
                result = PyObject_Vectorcall(on_message_, args + 1,
                                             2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
            }
            if (result == nullptr)
                report_exception(connection_);
            else
                Py_DECREF(result);
            if (object != nullptr && !lender.take_back()) report_exception(connection_);
        }
        lender.end();
    });
}

void python_listener::On_event(metadata_c& /*connection*/, const event_t& event) {
    if (!takes_events_ || is_disabled()) return;
    const gil_lock gil;
    if (!gil || connection_ == nullptr) return;
    guarded([&] {
        PyObject* const made = make_event(event);
        call_method(connection_, "_on_event",
                    made == nullptr ? nullptr : Py_BuildValue("(N)", made));
    });
}

void python_listener::On_close(metadata_c& /*connection*/, std::uint16_t code,
                               std::string_view reason) {
    const gil_lock gil;
    if (!gil || connection_ == nullptr) return;
    guarded([&] {
        PyObject* const text = decode_lenient(reason);
        call_method(
            connection_, "_on_close",
            text == nullptr ? nullptr : Py_BuildValue("(iN)", static_cast<int>(code), text));
        release();
    });
}

void python_listener::On_fail(metadata_c& connection, const error_c& error) {
    const gil_lock gil;
    if (!gil || connection_ == nullptr) return;
    attach(connection_, connection.shared_from_this());
    guarded([&] {
        PyObject* const native = error_tuple(error);
        call_method(connection_, "_on_fail",
                    native == nullptr ? nullptr : Py_BuildValue("(N)", native));
        release();
    });
}

void python_listener::On_error(metadata_c& /*connection*/,
                               std::exception_ptr /*exception*/) noexcept {
    // What Python raises never leaves the calls above; this is left for std::bad_alloc and the
    // like, which the core counts.
}

}  // namespace wspool::python

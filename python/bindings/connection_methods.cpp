#include <pybind11/pybind11.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "connection.hpp"
#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "held_object.hpp"
#include "payload_view.hpp"
#include "pull.hpp"
#include "translated.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

PyObject* result_of(const error_ptr& error, PyObject* self) {
    if (error) return raise_error(*error, self);
    Py_RETURN_NONE;
}

constexpr signature<2> send_signature{"send", {"message", "text"}, 1};

PyObject* send(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    std::array<PyObject*, 2> values{};
    if (!send_signature.take(args, count, names, values)) return nullptr;
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    if (!payload_view::accepts(values[0]) && PyObject_TypeCheck(self, &pull_type) != 0) {
        PyObject* const text = values[1] == nullptr ? Py_None : values[1];
        return PyObject_CallMethod(self, "_send_iterable", "OO", values[0], text);
    }
    payload_view payload;
    if (!payload.take(values[0], "message")) return nullptr;
    bool is_text = payload.is_text();
    if (!is_absent(values[1])) {
        const int truth = PyObject_IsTrue(values[1]);
        if (truth < 0) return nullptr;
        is_text = truth != 0;
    }
    // In slices, so that Ctrl-C ends the wait for room in the write buffer.
    constexpr std::chrono::milliseconds slice(50);
    for (;;) {
        const auto error =
            without_gil([&] { return handle->Send(payload.view(), is_text, slice); });
        if (!error || error->Code() != error_e::TIMEOUT) return result_of(error, self);
        if (PyErr_CheckSignals() != 0) return nullptr;
    }
}

/// A callable for on_pong_t, which is copied and dropped on any thread.
struct pong_callback {
    held_object callable;

    explicit pong_callback(PyObject* function) : callable(function) {}

    void call(std::optional<std::chrono::nanoseconds> round_trip) const {
        const gil_lock gil;
        if (!gil) return;
        guarded([&] {
            PyObject* const result =
                round_trip
                    ? PyObject_CallFunction(callable.get(), "d",
                                            std::chrono::duration<double>(*round_trip).count())
                    : PyObject_CallFunctionObjArgs(callable.get(), Py_None, nullptr);
            if (result == nullptr) PyErr_WriteUnraisable(callable.get());
            Py_XDECREF(result);
        });
    }
};

PyObject* ping(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    payload_view payload;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_ping() takes 2 arguments");
        return nullptr;
    }
    if (!payload.take(args[0], "data")) return nullptr;
    auto callback = std::make_shared<pong_callback>(args[1]);
    const auto error = without_gil([&] {
        return handle->Ping(payload.view(), [callback = std::move(callback)](auto round_trip) {
            callback->call(round_trip);
        });
    });
    return result_of(error, self);
}

PyObject* pong(PyObject* self, PyObject* data) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    payload_view payload;
    if (!payload.take(data, "data")) return nullptr;
    return result_of(without_gil([&] { return handle->Pong(payload.view()); }), self);
}

/// Closes or fails the connection with a code and a reason.
PyObject* end_with(PyObject* self, PyObject* const* args, Py_ssize_t count,
                   error_ptr (metadata_c::*end)(std::uint16_t, std::string_view)) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "code and reason are wanted");
        return nullptr;
    }
    const long code = PyLong_AsLong(args[0]);
    if (code == -1 && PyErr_Occurred() != nullptr) return nullptr;
    payload_view reason;
    if (!reason.take(args[1], "reason")) return nullptr;
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    const auto error = without_gil(
        [&] { return (handle->*end)(static_cast<std::uint16_t>(code), reason.view()); });
    return result_of(error, self);
}

PyObject* close(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    return end_with(self, args, count, &metadata_c::Close);
}

PyObject* fail(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    return end_with(self, args, count, &metadata_c::Fail);
}

PyObject* abort_connection(PyObject* self, PyObject* /*unused*/) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    without_gil([&] { handle->Abort(); });
    Py_RETURN_NONE;
}

PyObject* wait_closed(PyObject* self, PyObject* timeout) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    return translated([&]() -> py::object {
        const auto bound = seconds_or_none(py::reinterpret_borrow<py::object>(timeout));
        return py::bool_(
            wait_in_slices(bound, [&](auto slice) { return handle->Wait_closed(slice); }));
    });
}

PyObject* disable_callbacks(PyObject* self, PyObject* /*unused*/) {
    if (handle_of(self) == nullptr) return nullptr;
    connection_of(self)->callbacks_disabled = true;
    Py_RETURN_NONE;
}

/// Reads something without the GIL, because reading may wait for a lock, and converts it with it.
template <class Read, class Convert>
PyObject* read(PyObject* self, Read&& read, Convert&& convert) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    return translated([&] { return convert(without_gil([&] { return read(*handle); })); });
}

py::object steal(PyObject* object) {
    if (object == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(object);
}

py::object lenient(std::string_view bytes) { return steal(decode_lenient(bytes)); }

/// What HTTP has in headers and status lines (RFC 9110 section 5.5).
py::object latin1(std::string_view bytes) {
    return steal(
        PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

py::object close_frame(const std::optional<close_frame_t>& frame) {
    if (!frame) return py::none();
    return py::make_tuple(frame->code, lenient(frame->reason));
}

py::object address(const std::pair<std::string, std::uint16_t>& address) {
    if (address.first.empty()) return py::none();
    return py::make_tuple(lenient(address.first), address.second);
}

PyObject* get_status(PyObject* self, PyObject* /*unused*/) {
    auto* const handle = handle_of(self);
    return handle == nullptr ? nullptr : PyLong_FromLong(static_cast<long>(handle->Get_status()));
}

PyObject* get_error(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_error(); },
        [](const std::shared_ptr<const error_c>& error) -> py::object {
            return error ? steal(error_tuple(*error)) : py::none();
        });
}

PyObject* get_close_frames(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return close_frames_t::of(handle); },
        [](const close_frames_t& frames) -> py::object { return frames.to_python(); });
}

PyObject* get_request(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_request(); },
        [](const request_t& request) -> py::object {
            return py::make_tuple(lenient(request.path), steal(header_list(request.headers)));
        });
}

PyObject* get_response(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_response(); },
        [](const response_t& response) -> py::object {
            if (response.status == 0) return py::none();
            return py::make_tuple(response.status, latin1(response.reason_phrase),
                                  steal(header_list(response.headers)), py::bytes(response.body));
        });
}

PyObject* get_subprotocol(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_subprotocol(); },
        [](const std::string& name) -> py::object {
            return name.empty() ? py::object(py::none()) : lenient(name);
        });
}

PyObject* get_local_address(PyObject* self, PyObject* /*unused*/) {
    return read(self, [](metadata_c& handle) { return handle.Get_local_address(); }, address);
}

PyObject* get_remote_address(PyObject* self, PyObject* /*unused*/) {
    return read(self, [](metadata_c& handle) { return handle.Get_remote_address(); }, address);
}

PyObject* get_latency(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_latency(); },
        [](std::chrono::nanoseconds latency) -> py::object {
            return py::float_(std::chrono::duration<double>(latency).count());
        });
}

PyObject* get_statistics(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_statistics(); },
        [](const statistics_t& s) { return statistics_tuple(s); });
}

PyObject* get_buffered_amount(PyObject* self, PyObject* /*unused*/) {
    return read(
        self, [](metadata_c& handle) { return handle.Get_buffered_amount(); },
        [](std::size_t bytes) -> py::object { return py::int_(bytes); });
}

// Fixed when the connection is made, so they can be read in a child process too, for a repr.

PyObject* get_id(PyObject* self, void* /*closure*/) {
    const auto& handle = connection_of(self)->handle;
    return PyLong_FromLong(handle ? handle->Get_id() : -1);
}

PyObject* get_uri(PyObject* self, void* /*closure*/) {
    const auto& handle = connection_of(self)->handle;
    return decode_lenient(handle ? std::string_view(handle->Get_uri()) : std::string_view());
}

PyObject* get_generation(PyObject* self, void* /*closure*/) {
    const auto& handle = connection_of(self)->handle;
    return PyLong_FromUnsignedLong(handle ? handle->Get_generation() : 0);
}

PyObject* get_callbacks_disabled(PyObject* self, void* /*closure*/) {
    return PyBool_FromLong(connection_of(self)->callbacks_disabled ? 1 : 0);
}

}  // namespace

py::tuple close_frames_t::to_python() const {
    return py::make_tuple(close_frame(received), close_frame(sent), received_first);
}

PyMethodDef connection_methods[] = {
    {"send", as_function(send), METH_FASTCALL | METH_KEYWORDS,
     "send($self, /, message, text=None)\n--\n\n"
     "Queue a message and return (RFC 6455 section 5.6).\n\n"
     "Args:\n"
     "    message: A str goes as a text message, a bytes-like object as a binary one.\n"
     "    text: True sends bytes-like UTF-8 as text; False sends a str, encoded, as binary.\n\n"
     "Waits only while more than `write_limit` bytes are queued; inside a callback it raises\n"
     "BufferFull instead. Thread safety: any thread, also inside callbacks; the frames of\n"
     "concurrent callers never interleave.\n\n"
     "Raises:\n"
     "    ConnectionClosed: If the connection has ended or is closing.\n"
     "    InvalidState: If it is still connecting.\n"
     "    TypeError: If message is neither str nor bytes-like.\n"
     "    ValueError: If text is True and message is not UTF-8.\n"
     "    UnicodeEncodeError: If message holds a lone surrogate."},
    {"_ping", as_function(ping), METH_FASTCALL, nullptr},
    {"_pong", pong, METH_O, nullptr},
    {"_close", as_function(close), METH_FASTCALL, nullptr},
    {"_fail", as_function(fail), METH_FASTCALL, nullptr},
    {"_abort", abort_connection, METH_NOARGS, nullptr},
    {"_wait_closed", wait_closed, METH_O, nullptr},
    {"_disable_callbacks", disable_callbacks, METH_NOARGS, nullptr},
    {"_status", get_status, METH_NOARGS, nullptr},
    {"_native_error", get_error, METH_NOARGS, nullptr},
    {"_close_frames", get_close_frames, METH_NOARGS, nullptr},
    {"_request", get_request, METH_NOARGS, nullptr},
    {"_response", get_response, METH_NOARGS, nullptr},
    {"_subprotocol", get_subprotocol, METH_NOARGS, nullptr},
    {"_local_address", get_local_address, METH_NOARGS, nullptr},
    {"_remote_address", get_remote_address, METH_NOARGS, nullptr},
    {"_latency", get_latency, METH_NOARGS, nullptr},
    {"_statistics", get_statistics, METH_NOARGS, nullptr},
    {"_buffered_amount", get_buffered_amount, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef connection_attributes[] = {
    {"id", get_id, nullptr, "The number of the connection, unique on its endpoint.", nullptr},
    {"uri", get_uri, nullptr, "The URI, without user name and password.", nullptr},
    {"generation", get_generation, nullptr,
     "The number of the connection that was ready last, from 1; 0 before the first.", nullptr},
    {"_callbacks_disabled", get_callbacks_disabled, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace wspool::python

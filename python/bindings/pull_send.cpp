#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "arguments.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "payload_view.hpp"
#include "pull.hpp"
#include "translated.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

using nanoseconds = std::chrono::nanoseconds;

/// A bool, or `fallback` where nothing was given; -1 with an exception set.
int truth_of(PyObject* value, bool fallback) {
    return is_absent(value) ? static_cast<int>(fallback) : PyObject_IsTrue(value);
}

/// True if it was sent, False if there is no room and `wait` was not asked for.
PyObject* sent(PyObject* self, const error_ptr& error) {
    if (!error) Py_RETURN_TRUE;
    if (error->Code() == error_e::TIMEOUT) Py_RETURN_FALSE;
    return raise_error(*error, self);
}

}  // namespace

/// _try_send(message, text) -> bool; False also for what is not a message by itself
PyObject* try_send(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_try_send() takes 2 arguments");
        return nullptr;
    }
    if (!payload_view::accepts(args[0])) Py_RETURN_FALSE;
    payload_view payload;
    if (!payload.take(args[0], "message")) return nullptr;
    const int text = truth_of(args[1], payload.is_text());
    if (text < 0) return nullptr;
    return sent(
        self, without_gil([&] { return handle->Send(payload.view(), text == 1, nanoseconds(0)); }));
}

/// _send_fragment(payload, is_text, is_first, is_final, timeout) -> bool
PyObject* send_fragment(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "_send_fragment() takes 5 arguments");
        return nullptr;
    }
    payload_view payload;
    if (!payload.take(args[0], "message")) return nullptr;
    const int text = PyObject_IsTrue(args[1]);
    const int first = PyObject_IsTrue(args[2]);
    const int final = PyObject_IsTrue(args[3]);
    const double timeout = PyFloat_AsDouble(args[4]);
    if (text < 0 || first < 0 || final < 0 || PyErr_Occurred() != nullptr) return nullptr;
    const nanoseconds wait(static_cast<std::int64_t>(timeout * 1e9));
    return sent(self, without_gil([&] {
                    return handle->Send_fragment(payload.view(), text == 1, first == 1, final == 1,
                                                 wait);
                }));
}

/// _ping_for(data, pong)
PyObject* ping_for(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    auto* const handle = handle_of(self);
    if (handle == nullptr) return nullptr;
    payload_view payload;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_ping_for() takes 2 arguments");
        return nullptr;
    }
    if (!payload.take(args[0], "data")) return nullptr;
    return translated([&]() -> py::object {
        auto pong = py::reinterpret_borrow<py::object>(args[1]).cast<std::shared_ptr<pong_c>>();
        std::weak_ptr<metadata_c> of = connection_of(self)->handle;
        const auto error = without_gil([&] {
            return handle->Ping(
                payload.view(), [pong = std::move(pong), of = std::move(of)](auto took) {
                    const auto ended = took ? nullptr : of.lock();
                    pong->Tell(took, ended ? close_frames_t::of(*ended) : close_frames_t());
                });
        });
        if (!error) return py::none();
        raise_error(*error, self);
        throw py::error_already_set();
    });
}

void pong_c::Tell(std::optional<std::chrono::nanoseconds> round_trip, close_frames_t frames) {
    {
        const std::lock_guard lock(mutex_);
        done_ = true;
        round_trip_ = round_trip;
        frames_ = std::move(frames);
    }
    told_.notify_all();
    if (ready_) ready_->Post(number_);
}

bool pong_c::Wait(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    return told_.wait_for(lock, timeout, [this] { return done_; });
}

bool pong_c::Is_done() const {
    const std::lock_guard lock(mutex_);
    return done_;
}

std::optional<std::chrono::nanoseconds> pong_c::Round_trip() const {
    const std::lock_guard lock(mutex_);
    return round_trip_;
}

close_frames_t pong_c::Frames() const {
    const std::lock_guard lock(mutex_);
    return frames_;
}

}  // namespace wspool::python

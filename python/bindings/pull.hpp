#pragma once

#include <Python.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "connection.hpp"
#include "wspool/message_queue.hpp"
#include "wspool/ready_list.hpp"

namespace wspool::python {

/// wspool._core.PullConnection: a connection whose messages are taken from a queue. A plain C-API
/// type, because messages are taken one by one. It holds no Python object.
struct pull_object {
    connection_object base;
    /// Set once, under the GIL; null before.
    std::shared_ptr<message_queue_c> queue;
    message_queue_c::item_t held;  ///< taken from the queue and not handed out, if `holds`
    bool holds;
    std::uint64_t last_gap;   ///< messages dropped right before the one handed out last
    bool receiving;           ///< a call that takes messages is under way
    bool spent;               ///< `next_in_turn` said null because it was others' turn
    unsigned taken_in_a_row;  ///< by `next_in_turn`, since it said null
};

extern PyTypeObject pull_type;
/// The same for an event loop: `async for` takes what is there without a coroutine.
extern PyTypeObject async_pull_type;
/// Readies `async_pull_type` and what it needs; -1 with an exception set.
int ready_async_types();
extern PyTypeObject iterator_type;
/// Ends with an empty entry.
extern PyMethodDef pull_methods[];
extern PyMethodDef pull_functions[];
extern PyGetSetDef pull_attributes[];
/// How a payload is handed out: as it came, or as str or bytes whatever it came as.
enum class decode_e { BY_TYPE, TO_BYTES, TO_TEXT };

/// The next message, or null, without an exception, if there is none or if it is others' turn: an
/// event loop has other things to do, so after so many messages in a row one call says null, and
/// `spent` is true.
PyObject* next_in_turn(PyObject* self, decode_e decode);
// Of pull_send.cpp: each says what it takes.
PyObject* try_send(PyObject* self, PyObject* const* args, Py_ssize_t count);
PyObject* send_fragment(PyObject* self, PyObject* const* args, Py_ssize_t count);
PyObject* ping_for(PyObject* self, PyObject* const* args, Py_ssize_t count);
/// tp_iternext of `iterator_type`.
PyObject* next_message(PyObject* iterator);

inline pull_object* pull_of(PyObject* self) { return reinterpret_cast<pull_object*>(self); }

/// The iterator of a blocking connection.
struct iterator_object {
    PyObject_HEAD PyObject* connection;  ///< owned
};

/// A ping under way. Told by the loop's thread without the GIL; asked by any thread.
class pong_c {
public:
    /// With `ready`, the answer is posted there as `number`.
    explicit pong_c(std::shared_ptr<ready_list_c> ready = nullptr, std::uint64_t number = 0)
        : ready_(std::move(ready)), number_(number) {}

    /// Without a round trip: `frames` are how the connection has ended that it was sent on.
    void Tell(std::optional<std::chrono::nanoseconds> round_trip, close_frames_t frames);
    /// Waits for the answer or the end of the connection; false after `timeout`.
    bool Wait(std::chrono::nanoseconds timeout);
    [[nodiscard]] bool Is_done() const;
    /// Nothing before the answer, and if the connection ended before it came.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> Round_trip() const;
    /// None before the end of the connection.
    [[nodiscard]] close_frames_t Frames() const;

private:
    const std::shared_ptr<ready_list_c> ready_;
    const std::uint64_t number_;
    mutable std::mutex mutex_;
    std::condition_variable told_;
    bool done_ = false;
    std::optional<std::chrono::nanoseconds> round_trip_;
    close_frames_t frames_;
};

}  // namespace wspool::python

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>

#include "arguments.hpp"
#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "payload_view.hpp"
#include "pull.hpp"
#include "translated.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

using event_e = message_queue_c::event_e;
using nanoseconds = std::chrono::nanoseconds;

/// The queue, if the connection may be used here; else null with an exception set.
message_queue_c* queue_of(PyObject* self) {
    return handle_of(self) == nullptr ? nullptr : pull_of(self)->queue.get();
}

bool decode_of(PyObject* decode, decode_e& out) {
    out = decode_e::BY_TYPE;
    if (is_absent(decode)) return true;
    const int truth = PyObject_IsTrue(decode);
    out = truth == 1 ? decode_e::TO_TEXT : decode_e::TO_BYTES;
    return truth >= 0;
}

PyObject* make_payload(const message_view_t& message, decode_e decode) {
    if (decode == decode_e::TO_BYTES || (decode == decode_e::BY_TYPE && !message.is_text)) {
        return PyBytes_FromStringAndSize(message.payload.data(),
                                         static_cast<Py_ssize_t>(message.payload.size()));
    }
    if (message.is_ascii) return make_ascii_text(message.payload);
    return make_text(message.payload);  // a binary one may raise
}

PyObject* make_item(const message_queue_c::item_t& item, decode_e decode) {
    return item.event ? make_event(*item.event) : make_payload(item, decode);
}

bool next_item(pull_object* pull, message_queue_c::item_t& item) {
    if (!pull->holds) return pull->queue->Next(item);
    pull->holds = false;
    item = pull->held;
    return true;
}

std::size_t available(const pull_object* pull) {
    return pull->queue->Available() + (pull->holds ? 1 : 0);
}

/// The next message, or null without an exception if there is none.
PyObject* take_one(pull_object* pull, decode_e decode) {
    message_queue_c::item_t item;
    if (!next_item(pull, item)) return nullptr;
    pull->last_gap = item.dropped;
    return make_item(item, decode);
}

/// Fills `list` from `at` with messages that stand one behind the other, as long as there are such;
/// true unless one cannot be converted, with an exception set.
bool fill_by_runs(pull_object* pull, PyObject* list, std::size_t& at, std::size_t count,
                  decode_e decode) {
    // They were written on another core: fetching some ahead hides most of the way from there.
    constexpr std::size_t ahead = 4;
    constexpr std::size_t cache_line = 64;
    while (at < count) {
        const auto run = pull->queue->Next_run(count - at);
        if (run.count == 0) return true;
        for (std::size_t i = 0; i < run.count; ++i) {
            if (i + ahead < run.count) {
                const std::string_view next = run.messages[i + ahead].payload;
                for (std::size_t line = 0; line < 3 * cache_line && line < next.size();
                     line += cache_line)
                    __builtin_prefetch(next.data() + line);
            }
            PyObject* const payload = make_payload(run.messages[i], decode);
            if (payload == nullptr) {
                pull->queue->Put_back(run.count - i);
                return false;
            }
            PyList_SET_ITEM(list, static_cast<Py_ssize_t>(at++), payload);
        }
    }
    return true;
}

/// So many messages, of those that are there, as a list. One that cannot be converted is raised by
/// the call that finds it in front.
PyObject* take_many(pull_object* pull, std::size_t count, decode_e decode) {
    PyObject* const list = PyList_New(static_cast<Py_ssize_t>(count));
    if (list == nullptr || count == 0) return list;
    pull->last_gap = 0;
    std::size_t taken = 0;
    while (taken < count) {
        if (!pull->holds && !fill_by_runs(pull, list, taken, count, decode)) {
            // `recv` takes a message that it cannot convert; so does a list that begins with one.
            message_queue_c::item_t bad;
            if (taken == 0) pull->queue->Next(bad);
            break;
        }
        message_queue_c::item_t item;
        if (taken == count || !next_item(pull, item)) break;
        PyObject* const payload = make_item(item, decode);
        if (payload == nullptr) {
            if (taken != 0) {
                pull->held = item;
                pull->holds = true;
            }
            break;
        }
        pull->last_gap += item.dropped;
        PyList_SET_ITEM(list, static_cast<Py_ssize_t>(taken++), payload);
    }
    if (taken != 0) PyErr_Clear();  // those before are handed out
    if (PyErr_Occurred() != nullptr ||
        (taken < count && PyList_SetSlice(list, static_cast<Py_ssize_t>(taken),
                                          static_cast<Py_ssize_t>(count), nullptr) != 0)) {
        Py_DECREF(list);
        return nullptr;
    }
    return list;
}

PyObject* raise_closed(PyObject* self) {
    return raise_error(error_c(error_e::CLOSED, "the connection is closed"), self);
}

PyObject* raise_concurrency(PyObject* self) {
    return raise_error(
        error_c(error_e::CONCURRENCY, "another call is receiving from this connection already"),
        self);
}

bool begin_receiving(PyObject* self) {
    auto* const pull = pull_of(self);
    if (pull->receiving) {
        raise_concurrency(self);
        return false;
    }
    pull->receiving = true;
    return true;
}

enum class waited_e { READY, TIMEOUT, RAISED };

/// Waits for something to take, without the GIL and so that Ctrl-C is noticed.
waited_e wait_readable(pull_object* pull, const std::optional<nanoseconds>& timeout) {
    // A reference of its own: `self` is kept by the caller, its queue may not be.
    const auto queue = pull->queue;
    try {
        const bool ready = wait_in_slices(
            timeout, [&](nanoseconds slice) { return queue->Wait_for(event_e::READABLE, slice); });
        return ready ? waited_e::READY : waited_e::TIMEOUT;
    } catch (py::error_already_set& error) {
        error.restore();
        return waited_e::RAISED;
    }
}

/// A timeout as given by the user; false with an exception set.
bool timeout_of(PyObject* timeout, std::optional<nanoseconds>& out) {
    if (is_absent(timeout)) return true;
    double seconds = 0;
    if (!seconds_from(timeout, seconds)) return false;
    out = nanoseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, 1e9) * 1e9));
    return true;
}

/// Calls `take` until it returns something, and waits for messages in between; after the end of
/// the connection returns what `at_end` returns.
template <class Take, class AtEnd>
PyObject* receive(PyObject* self, PyObject* timeout, Take&& take, AtEnd&& at_end) {
    using clock = std::chrono::steady_clock;
    auto* const pull = pull_of(self);
    std::optional<nanoseconds> left;
    if (!timeout_of(timeout, left) || !begin_receiving(self)) return nullptr;
    PyObject* result = take();
    if (result == nullptr && PyErr_Occurred() == nullptr) {
        const auto deadline = clock::now() + left.value_or(nanoseconds(0));
        while (true) {
            // Asked before the queue: what came before the end is in it then.
            const bool ended = pull->queue->Has_ended();
            result = take();
            if (result != nullptr || PyErr_Occurred() != nullptr) break;
            if (ended) {
                result = at_end();
                break;
            }
            if (left) left = std::max(nanoseconds(0), nanoseconds(deadline - clock::now()));
            const auto waited = wait_readable(pull, left);
            if (waited == waited_e::READY) continue;
            if (waited == waited_e::TIMEOUT)
                PyErr_SetString(PyExc_TimeoutError, "timed out while waiting for a message");
            break;
        }
    }
    pull->receiving = false;
    return result;
}

constexpr signature<2> recv_signature{"recv", {"timeout", "decode"}};

PyObject* recv(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    std::array<PyObject*, 2> values{};
    decode_e decode{};
    if (!recv_signature.take(args, count, names, values) || !decode_of(values[1], decode) ||
        queue_of(self) == nullptr)
        return nullptr;
    return receive(
        self, values[0], [&] { return take_one(pull_of(self), decode); },
        [&] { return raise_closed(self); });
}

constexpr signature<3> recv_many_signature{"recv_many", {"max_messages", "timeout", "decode"}};

bool most_of(PyObject* value, std::size_t& out) {
    out = static_cast<std::size_t>(-1);
    if (is_absent(value)) return true;
    const Py_ssize_t number = PyNumber_AsSsize_t(value, nullptr);
    if (number == -1 && PyErr_Occurred() != nullptr) return false;
    if (number < 1) {
        PyErr_SetString(PyExc_ValueError, "max_messages must be at least 1, or None");
        return false;
    }
    out = static_cast<std::size_t>(number);
    return true;
}

PyObject* recv_many(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    std::array<PyObject*, 3> values{};
    decode_e decode{};
    std::size_t most = 0;
    if (!recv_many_signature.take(args, count, names, values) || !most_of(values[0], most) ||
        !decode_of(values[2], decode) || queue_of(self) == nullptr)
        return nullptr;
    return receive(
        self, values[1],
        [&]() -> PyObject* {
            auto* const pull = pull_of(self);
            const std::size_t there = available(pull);
            if (there == 0) return nullptr;
            PyObject* const list = take_many(pull, std::min(most, there), decode);
            if (list == nullptr || PyList_GET_SIZE(list) != 0) return list;
            Py_DECREF(list);  // what was there had been cut off by the end of its connection
            return nullptr;
        },
        [&] { return raise_closed(self); });
}

// What follows never waits for messages; asyncio and recv_streaming are built of it.

/// _next(decode) -> str | bytes | None; see next_in_turn.
PyObject* next(PyObject* self, PyObject* decode) {
    decode_e how{};
    if (!decode_of(decode, how)) return nullptr;
    PyObject* const message = next_in_turn(self, how);
    if (message != nullptr || PyErr_Occurred() != nullptr) return message;
    Py_RETURN_NONE;
}

/// _take(max_messages, decode) -> list
PyObject* take(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    decode_e decode{};
    std::size_t most = 0;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_take() takes 2 arguments");
        return nullptr;
    }
    if (!most_of(args[0], most) || !decode_of(args[1], decode) || queue_of(self) == nullptr)
        return nullptr;
    if (pull_of(self)->receiving) return raise_concurrency(self);
    return take_many(pull_of(self), std::min(most, available(pull_of(self))), decode);
}

/// _next_fragment() -> (bytes, is_text, is_final) | event | None
PyObject* next_fragment(PyObject* self, PyObject* /*unused*/) {
    auto* const queue = queue_of(self);
    if (queue == nullptr) return nullptr;
    message_queue_c::item_t item;
    if (!next_item(pull_of(self), item)) Py_RETURN_NONE;
    pull_of(self)->last_gap = item.dropped;
    if (item.event) return make_event(*item.event);
    if (item.generation == 0) return raise_closed(self);  // the rest will not come
    PyObject* const payload = PyBytes_FromStringAndSize(
        item.payload.data(), static_cast<Py_ssize_t>(item.payload.size()));
    if (payload == nullptr) return nullptr;
    return Py_BuildValue("(NOO)", payload, item.is_text ? Py_True : Py_False,
                         item.is_final ? Py_True : Py_False);
}

PyObject* set_streaming(PyObject* self, PyObject* on) {
    auto* const queue = queue_of(self);
    const int truth = queue == nullptr ? -1 : PyObject_IsTrue(on);
    if (truth < 0) return nullptr;
    queue->Set_streaming(truth == 1);
    Py_RETURN_NONE;
}

/// _arm(events) -> bool
PyObject* arm(PyObject* self, PyObject* events) {
    auto* const queue = queue_of(self);
    const unsigned long bits = queue == nullptr ? 0 : PyLong_AsUnsignedLong(events);
    if (PyErr_Occurred() != nullptr) return nullptr;
    return PyBool_FromLong(queue->Arm(static_cast<unsigned>(bits)) ? 1 : 0);
}

/// _wait_for(events, timeout) -> bool
PyObject* wait_for(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    if (queue_of(self) == nullptr) return nullptr;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_wait_for() takes 2 arguments");
        return nullptr;
    }
    const auto queue = pull_of(self)->queue;
    return translated([&]() -> py::object {
        const auto events = py::reinterpret_borrow<py::object>(args[0]).cast<unsigned>();
        const auto bound = seconds_or_none(py::reinterpret_borrow<py::object>(args[1]));
        return py::bool_(wait_in_slices(
            bound, [&](nanoseconds slice) { return queue->Wait_for(events, slice); }));
    });
}

PyObject* has_ended(PyObject* self, PyObject* /*unused*/) {
    auto* const queue = queue_of(self);
    return queue == nullptr ? nullptr : PyBool_FromLong(queue->Has_ended() ? 1 : 0);
}

PyObject* iterate(PyObject* self, PyObject* /*unused*/) {
    auto* const iterator = PyObject_GC_New(iterator_object, &iterator_type);
    if (iterator == nullptr) return nullptr;
    Py_INCREF(self);
    iterator->connection = self;
    PyObject_GC_Track(iterator);
    return reinterpret_cast<PyObject*>(iterator);
}

/// Whether `send` takes it as a message of its own, and not as an iterable of fragments.
PyObject* is_payload(PyObject* /*module*/, PyObject* object) {
    return PyBool_FromLong(payload_view::accepts(object) ? 1 : 0);
}

PyObject* get_dropped(PyObject* self, void* /*closure*/) {
    const auto& queue = pull_of(self)->queue;
    return PyLong_FromUnsignedLongLong(queue ? queue->Dropped() : 0);
}

PyObject* get_waiting(PyObject* self, void* /*closure*/) {
    const auto& queue = pull_of(self)->queue;
    const auto waiting = queue ? queue->Waiting() : message_queue_c::waiting_t();
    return Py_BuildValue("(nnL)", static_cast<Py_ssize_t>(waiting.messages),
                         static_cast<Py_ssize_t>(waiting.bytes),
                         static_cast<long long>(waiting.since_ns));
}

PyObject* get_last_gap(PyObject* self, void* /*closure*/) {
    return PyLong_FromUnsignedLongLong(pull_of(self)->last_gap);
}

PyObject* get_spent(PyObject* self, void* /*closure*/) {
    return PyBool_FromLong(pull_of(self)->spent ? 1 : 0);
}

PyObject* get_available(PyObject* self, void* /*closure*/) {
    const auto* const pull = pull_of(self);
    return PyLong_FromSize_t(pull->queue ? available(pull) : 0);
}

PyObject* get_receiving(PyObject* self, void* /*closure*/) {
    return PyBool_FromLong(pull_of(self)->receiving ? 1 : 0);
}

int set_receiving(PyObject* self, PyObject* value, void* /*closure*/) {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth < 0) return -1;
    pull_of(self)->receiving = truth == 1;
    return 0;
}

}  // namespace

PyObject* next_in_turn(PyObject* self, decode_e decode) {
    constexpr unsigned most_in_a_row = 256;
    if (queue_of(self) == nullptr) return nullptr;
    auto* const pull = pull_of(self);
    if (pull->receiving) return raise_concurrency(self);
    pull->spent = pull->taken_in_a_row == most_in_a_row;
    if (!pull->spent) {
        ++pull->taken_in_a_row;
        PyObject* const message = take_one(pull, decode);
        if (message != nullptr) return message;
    }
    pull->taken_in_a_row = 0;
    return nullptr;
}

PyObject* next_message(PyObject* iterator) {
    PyObject* const self = reinterpret_cast<iterator_object*>(iterator)->connection;
    if (queue_of(self) == nullptr) return nullptr;
    return receive(
        self, nullptr, [&] { return take_one(pull_of(self), decode_e::BY_TYPE); },
        [&]() -> PyObject* {
            // Raises, unless the end was in order: that just ends the iteration.
            Py_XDECREF(PyObject_CallMethod(self, "_raise_unless_in_order", nullptr));
            return nullptr;
        });
}

PyMethodDef pull_functions[] = {
    {"is_payload", is_payload, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef pull_methods[] = {
    {"recv", as_function(recv), METH_FASTCALL | METH_KEYWORDS,
     "recv($self, /, timeout=None, decode=None)\n--\n\n"
     "Receive the next message (RFC 6455 section 5.6).\n\n"
     "Messages that came before the connection ended are handed out after it. Ctrl-C interrupts\n"
     "the wait. A message in fragments is handed out as a whole.\n\n"
     "Args:\n"
     "    timeout: In seconds; None waits without bound, 0 takes only what is there.\n"
     "    decode: None gives text messages as str and binary ones as bytes; True gives str,\n"
     "        False bytes, whatever came.\n\n"
     "Raises:\n"
     "    ConnectionClosed: If the connection has ended and all messages have been received.\n"
     "    TimeoutError: If no message came in time; none is lost by it.\n"
     "    ConcurrencyError: If another call is receiving.\n"
     "    UnicodeDecodeError: If decode is True and a binary message is not UTF-8."},
    {"recv_many", as_function(recv_many), METH_FASTCALL | METH_KEYWORDS,
     "recv_many($self, /, max_messages=None, timeout=None, decode=None)\n--\n\n"
     "Receive all messages that are queued, at least one, as a list in the order of arrival.\n\n"
     "The cheapest way to receive many. Waits like recv() while there is none.\n\n"
     "Args:\n"
     "    max_messages: The most to take; None takes all.\n"
     "    timeout: In seconds; None waits without bound, 0 takes only what is there.\n"
     "    decode: As in recv().\n\n"
     "Raises:\n"
     "    ValueError: If max_messages is below 1.\n"
     "    ConnectionClosed, TimeoutError, ConcurrencyError, UnicodeDecodeError: As recv()."},
    {"_iterate", iterate, METH_NOARGS, nullptr},
    {"_next", next, METH_O, nullptr},
    {"_take", as_function(take), METH_FASTCALL, nullptr},
    {"_next_fragment", next_fragment, METH_NOARGS, nullptr},
    {"_set_streaming", set_streaming, METH_O, nullptr},
    {"_arm", arm, METH_O, nullptr},
    {"_wait_for", as_function(wait_for), METH_FASTCALL, nullptr},
    {"_has_ended", has_ended, METH_NOARGS, nullptr},
    {"_try_send", as_function(try_send), METH_FASTCALL, nullptr},
    {"_send_fragment", as_function(send_fragment), METH_FASTCALL, nullptr},
    {"_ping_for", as_function(ping_for), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef pull_attributes[] = {
    {"_waiting", get_waiting, nullptr, nullptr, nullptr},
    {"dropped", get_dropped, nullptr,
     "Messages that were dropped because the queue was full, since the beginning.", nullptr},
    {"last_gap", get_last_gap, nullptr,
     "Messages that were dropped right before the one received last, or before those that\n"
     "recv_many() returned last and among them.",
     nullptr},
    {"_available", get_available, nullptr, nullptr, nullptr},
    {"_spent", get_spent, nullptr, nullptr, nullptr},
    {"_receiving", get_receiving, set_receiving, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace wspool::python

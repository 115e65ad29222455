#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wspool/options.hpp"
#include "wspool/statistics.hpp"

namespace wspool::python {

// All of these want the GIL. Those that return PyObject* return a new reference, or null with a
// Python exception set.

/// str from UTF-8 that has been validated.
PyObject* make_text(std::string_view text);
/// The same for what is known to be ASCII: one allocation, one copy.
PyObject* make_ascii_text(std::string_view text);
/// str from bytes that ought to be UTF-8 but come from outside; bad ones are replaced.
PyObject* decode_lenient(std::string_view bytes);
/// list[tuple[str, str]]; header values are ISO-8859-1 (RFC 9110 section 5.5).
PyObject* header_list(const std::vector<std::pair<std::string, std::string>>& headers);
/// All of it, in order; the histogram as a tuple of its own.
pybind11::object statistics_tuple(const statistics_t& statistics);
/// A timeout as given by the user, but None; false with an exception set.
bool seconds_from(PyObject* seconds, double& out);
/// Seconds as a Python number, or None for no bound. Throws pybind11::error_already_set.
std::optional<std::chrono::nanoseconds> seconds_or_none(const pybind11::object& seconds);

/// A value to compare with. Throws pybind11::value_error for an integer above 64 bits.
json_scalar_t scalar_from(const pybind11::handle& value);
/// (pointer, values) each.
std::vector<condition_t> conditions_from(const pybind11::handle& given);
/// None, or (kind, host, port, user or None, password, TLSContext or None, server_hostname).
proxy_t proxy_from(const pybind11::object& given);
/// What wspool.options.Options.to_native() returns, as the core's struct.
options_t make_options(const pybind11::dict& native);

/// Waits for `wait(slice)` to say true, in slices so short that Ctrl-C is noticed, without the
/// GIL. False after `timeout`; throws pybind11::error_already_set if a signal handler raised.
template <class F>
bool wait_in_slices(std::optional<std::chrono::nanoseconds> timeout, F&& wait);

}  // namespace wspool::python

#include "gil.hpp"

namespace wspool::python {

template <class F>
bool wait_in_slices(std::optional<std::chrono::nanoseconds> timeout, F&& wait) {
    using clock = std::chrono::steady_clock;
    constexpr std::chrono::nanoseconds slice = std::chrono::milliseconds(50);
    const auto start = clock::now();
    for (;;) {
        auto next = slice;
        if (timeout) {
            const auto left = *timeout - (clock::now() - start);
            next = std::max(std::chrono::nanoseconds(0), std::min(slice, left));
        }
        if (without_gil([&] { return wait(next); })) return true;
        // Runs signal handlers on the main thread, and does nothing on others.
        if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
        if (timeout && clock::now() - start >= *timeout) return false;
    }
}

}  // namespace wspool::python

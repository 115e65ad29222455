#pragma once

#include <Python.h>

#include <exception>
#include <type_traits>
#include <utility>

namespace wspool::python {

/// Takes the GIL on a thread of the library, or on any other.
///
/// Each native thread keeps one PyThreadState for life: PyGILState_Ensure would build and free
/// one at every call. False if the interpreter is going away; then nothing of Python may be
/// touched, references included.
///
/// Code under it that may enter the interpreter belongs into `guarded`, and holds no owning
/// reference in an object with a destructor: see there.
class gil_lock {
public:
    gil_lock();
    ~gil_lock();
    gil_lock(const gil_lock&) = delete;
    gil_lock& operator=(const gil_lock&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return held_; }

private:
    bool held_ = false;
    bool release_ = false;
};

/// Stops this thread for what remains of the process.
///
/// CPython up to 3.13 ends a thread that wants the GIL while the interpreter shuts down, by
/// pthread_exit, which unwinds C++ frames by force: through a noexcept frame it aborts the process,
/// through others it runs destructors that drop references without the GIL. Standing still is what
/// CPython 3.14 does.
[[noreturn]] void hang_for_good() noexcept;

/// Gives the GIL back to `state`; see `hang_for_good` for when it cannot.
void restore_thread(PyThreadState* state) noexcept;

/// Calls `function`, which enters the interpreter, on a thread that interpreter exit may end.
template <class F>
auto guarded(F&& function) -> decltype(function());

/// Calls `function` without the GIL. It may wait and take locks; it may not touch Python.
template <class F>
auto without_gil(F&& function) -> decltype(function()) {
    using result_t = decltype(function());
    PyThreadState* const state = PyEval_SaveThread();
    // The GIL is not taken back by a destructor, which would be noexcept; see hang_for_good.
    std::exception_ptr failed;
    if constexpr (std::is_void_v<result_t>) {
        try {
            function();
        } catch (const std::exception&) {
            failed = std::current_exception();
        }
        restore_thread(state);
        if (failed) std::rethrow_exception(failed);
    } else {
        result_t result{};
        try {
            result = function();
        } catch (const std::exception&) {
            failed = std::current_exception();
        }
        restore_thread(state);
        if (failed) std::rethrow_exception(failed);
        return result;
    }
}

}  // namespace wspool::python

#include <cxxabi.h>

namespace wspool::python {

template <class F>
auto guarded(F&& function) -> decltype(function()) {
    try {
        return function();
    } catch (abi::__forced_unwind&) {
        hang_for_good();
    }
}

}  // namespace wspool::python

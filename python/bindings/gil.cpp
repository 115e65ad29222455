#include "gil.hpp"

#include <unistd.h>

#include "lifecycle.hpp"

namespace wspool::python {
namespace {

/// The thread state bound to this thread while it holds the GIL; null or another's if it does not.
PyThreadState* current_state() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/// The thread state made for a native thread, deleted when the thread ends.
struct native_thread {
    PyThreadState* state = nullptr;

    ~native_thread() {
        if (state == nullptr || !python_is_usable()) return;
        restore_thread(state);
        guarded([this] { PyThreadState_Clear(state); });
        PyThreadState_DeleteCurrent();
    }
};

thread_local native_thread this_thread;

}  // namespace

gil_lock::gil_lock() {
    if (!python_is_usable()) return;
    // A Python thread inside a blocking call of ours has a state of its own.
    PyThreadState* state = PyGILState_GetThisThreadState();
    if (state == nullptr) {
        state = this_thread.state = PyThreadState_New(main_interpreter());
        if (state == nullptr) return;
    }
    held_ = true;
    if (state == current_state()) return;
    release_ = true;
    restore_thread(state);
}

gil_lock::~gil_lock() {
    if (release_) PyEval_SaveThread();
}

void hang_for_good() noexcept {
    for (;;) pause();
}

void restore_thread(PyThreadState* state) noexcept {
    guarded([state] { PyEval_RestoreThread(state); });
}

}  // namespace wspool::python

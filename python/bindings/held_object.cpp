#include "held_object.hpp"

#include <atomic>

#include "gil.hpp"
#include "lifecycle.hpp"

namespace wspool::python {
namespace {

// No mutex: a fork could find it held.
std::atomic<held_object::reference*> to_drop{nullptr};
std::atomic<bool> is_asked_for{false};  // the main thread has been asked to come

/// GIL held.
int drop_all(void* /*unused*/) {
    is_asked_for.store(false);
    std::unique_ptr<held_object::reference> next(to_drop.exchange(nullptr));
    while (next) {
        PyObject* const object = next->object;
        next.reset(next->next);
        Py_DECREF(object);
    }
    return 0;
}

}  // namespace

held_object::held_object(PyObject* object) : reference_(new reference{object, nullptr}) {
    Py_INCREF(object);
}

held_object::~held_object() {
    if (!python_is_usable()) return;  // leaked
    if (PyGILState_Check() != 0) {
        guarded([this] { Py_DECREF(reference_->object); });
        return;
    }
    reference* const mine = reference_.release();
    mine->next = to_drop.load();
    while (!to_drop.compare_exchange_weak(mine->next, mine)) {
    }
    if (is_asked_for.exchange(true)) return;
    // Without room among what the main thread is to do, the next one asks again.
    if (Py_AddPendingCall(&drop_all, nullptr) != 0) is_asked_for.store(false);
}

}  // namespace wspool::python

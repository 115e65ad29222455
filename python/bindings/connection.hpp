#pragma once

#include <Python.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <optional>

#include "wspool/metadata.hpp"

namespace wspool::python {

/// wspool._core.Connection: the native base of wspool.Connection. A plain C-API type, because
/// `send` is called for every message. It holds no Python object, so it has no part in cycles.
struct connection_object {
    PyObject_HEAD
        /// Set once, under the GIL; null before.
        std::shared_ptr<metadata_c>
            handle;
    unsigned generation;  ///< process_generation() when the handle was set
    /// Set under the GIL, so that it holds for every message after disable_callbacks returned.
    std::atomic<bool> callbacks_disabled;
};

extern PyTypeObject connection_type;
/// Ends with an empty entry.
extern PyMethodDef connection_methods[];
extern PyGetSetDef connection_attributes[];

inline connection_object* connection_of(PyObject* self) {
    return reinterpret_cast<connection_object*>(self);
}

/// How a connection has ended, or ends, so far.
struct close_frames_t {
    std::optional<close_frame_t> received;
    std::optional<close_frame_t> sent;
    bool received_first = false;

    static close_frames_t of(const metadata_c& handle) {
        return {handle.Received_close(), handle.Sent_close(), handle.Received_close_first()};
    }
    /// ((code, reason) or None, the same of what was sent, received_first); GIL held.
    [[nodiscard]] pybind11::tuple to_python() const;
};

/// Gives the object its connection; whoever comes first of the creator and the first callback.
void attach(PyObject* connection, std::shared_ptr<metadata_c> handle);

/// The connection, valid while `self` is; null with an exception set if there is none yet, or if
/// it belongs to another process.
metadata_c* handle_of(PyObject* self);

}  // namespace wspool::python

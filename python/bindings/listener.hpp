#pragma once

#include <Python.h>

#include "wspool/listener.hpp"

namespace wspool::python {

/// Hands what happens on one connection to its Python object and to the user's on_message.
///
/// It keeps both alive until the last call, so an open connection lives on when its user has
/// dropped it, and lets them go then, so nothing is left of an ended one.
class python_listener : public listener_c {
public:
    /// `on_message` may be null: then messages are counted by the core and never become objects.
    /// GIL held.
    python_listener(PyObject* connection, PyObject* on_message, bool takes_events = false);
    ~python_listener() override;

    void On_open(metadata_c& connection) override;
    void On_messages(metadata_c& connection, const message_view_t* messages,
                     std::size_t count) override;
    void On_event(metadata_c& connection, const event_t& event) override;
    void On_close(metadata_c& connection, std::uint16_t code, std::string_view reason) override;
    void On_fail(metadata_c& connection, const error_c& error) override;
    void On_error(metadata_c& connection, std::exception_ptr exception) noexcept override;

protected:
    /// Lets go of everything of Python; the last thing that is called. GIL held.
    virtual void release() noexcept;
    /// Whether the user wants no callbacks any more; any thread.
    [[nodiscard]] bool is_disabled() const noexcept;
    /// Borrowed.
    [[nodiscard]] PyObject* connection() const noexcept { return connection_; }
    /// The exception that is set goes to the connection, which tells the user. GIL held.
    void report();

private:
    PyObject* connection_;
    PyObject* on_message_;
    const bool takes_events_;
};

}  // namespace wspool::python

#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string_view>

#include "wspool/error.hpp"
#include "wspool/event.hpp"
#include "wspool/export.hpp"
#include "wspool/message_view.hpp"

namespace wspool {

class metadata_c;

/// Receives what happens on one connection. The native way in: messages come as batches of
/// slices, one call for all that one read brought.
///
/// Thread rules: calls for all connections of one endpoint are made one at a time, in the order
/// of the events, normally on the endpoint's own thread. They may block: then another thread
/// takes the endpoint's loop over, so pings are answered and other data is read meanwhile.
/// No lock of the library is held during a call. An exception is caught and goes to `On_error`.
/// After `metadata_c::Disable_callbacks` no messages come any more; the other calls still do, so
/// that a listener can tell its own waiters, and must not reach user code then.
class WSPOOL_API listener_c {
public:
    virtual ~listener_c() = default;

    /// The connection is ready; messages may be sent. First call; of a feed, whenever it is ready
    /// again, after `On_event` with OPENED.
    virtual void On_open(metadata_c& connection) = 0;
    /// `count` messages, at least one, in the order of arrival.
    virtual void On_messages(metadata_c& connection, const message_view_t* messages,
                             std::size_t count) = 0;
    /// Of a feed: what happened, in order with the messages.
    virtual void On_event(metadata_c& /*connection*/, const event_t& /*event*/) {}
    /// The connection was open and has ended. Last call.
    virtual void On_close(metadata_c& connection, std::uint16_t code, std::string_view reason) = 0;
    /// The connection could not be opened. First and last call.
    virtual void On_fail(metadata_c& connection, const error_c& error) = 0;
    /// One of the calls above let an exception out.
    virtual void On_error(metadata_c& connection, std::exception_ptr exception) noexcept = 0;
};

}  // namespace wspool

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "wspool/export.hpp"

namespace wspool {

class metadata_c;

/// A received message, or a fragment of one, on its way into a sink. The bytes belong to the
/// library and are valid only during the call that hands them out.
struct incoming_t {
    std::string_view payload;
    std::int64_t received_ns = 0;  ///< Unix time of the read that completed it, in nanoseconds
    bool is_text = false;          ///< text (valid UTF-8 as a whole) or binary
    bool is_first = true;          ///< begins a message
    bool is_final = true;          ///< ends a message
    /// If not null, the string that `payload` lies in: the sink may move it.
    std::string* storage = nullptr;
};

/// Takes what one connection receives right at the read, on the loop's own thread: the way in for
/// queues and for what works on messages natively. A listener, unlike it, runs user code.
///
/// Thread rules: calls for one connection are made one at a time, in the order of the events. They
/// must neither block nor run user code, because every connection of the endpoint waits for them;
/// no lock of the library is held. They do not throw.
class WSPOOL_API sink_c {
public:
    enum class verdict_e {
        GO_ON,
        PAUSE,  ///< stop reading until `metadata_c::Resume_reading`
        FAIL,   ///< close the connection with 1008 and `error_e::QUEUE_FULL`
    };

    virtual ~sink_c() = default;

    /// True if fragments shall be handed out as they come, instead of whole messages. Asked once.
    [[nodiscard]] virtual bool Wants_fragments() const noexcept { return false; }
    /// The handshake is complete; messages may be sent.
    virtual void On_open(metadata_c& connection) noexcept = 0;
    /// `count` messages or fragments, at least one, in the order of arrival.
    virtual verdict_e On_messages(incoming_t* messages, std::size_t count) noexcept = 0;
    /// Our close frame has been sent. From now on reading is not paused any more.
    virtual void On_closing() noexcept = 0;
    /// There is room in the write buffer again, after a `Send` with a wait of zero found none.
    virtual void On_room() noexcept = 0;
    /// The connection has failed to open, or was open and has ended. Last call.
    virtual void On_end() noexcept = 0;
};

}  // namespace wspool

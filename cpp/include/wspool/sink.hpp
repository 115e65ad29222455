#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wspool/event.hpp"
#include "wspool/export.hpp"
#include "wspool/message_view.hpp"

namespace wspool {

class metadata_c;

/// Memory with messages whose payloads lie in it, in order.
struct message_block_t {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
    std::vector<message_view_t> messages;
};

/// What one read brought, on its way into a sink: whole messages. What the sink wants to keep it
/// copies, or it takes the memory over.
struct incoming_t {
    const message_view_t* messages = nullptr;
    std::size_t count = 0;
    std::size_t bytes = 0;  ///< sum of the payloads
    /// If not null, the messages are this block's, and the sink may move it away and keep it. It
    /// is large, however little of it is used; let go, it is read into again.
    std::shared_ptr<message_block_t> block;
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
        REST,   ///< the same as PAUSE, but for `longest_rest` at most; then `On_rested`
        PAUSE,  ///< stop reading until `metadata_c::Resume_reading`
        FAIL,   ///< close the connection with 1008 and `error_e::QUEUE_FULL`
    };

    static constexpr std::chrono::milliseconds longest_rest{5};

    virtual ~sink_c() = default;

    /// True if fragments shall be handed out as they come, instead of whole messages. Asked once.
    [[nodiscard]] virtual bool Wants_fragments() const noexcept { return false; }
    /// How many bytes the next read shall bring at the most; a hint.
    [[nodiscard]] virtual std::size_t Read_size() const noexcept {
        return static_cast<std::size_t>(-1);
    }
    /// The handshake is complete; messages may be sent.
    virtual void On_open(metadata_c& connection) noexcept = 0;
    /// At least one message, in the order of arrival.
    virtual verdict_e On_messages(incoming_t& incoming) noexcept = 0;
    /// A fragment, or a message that was put together from several reads or frames. Its payload
    /// is `storage`, which the sink may move away.
    virtual verdict_e On_piece(const message_view_t& piece, std::string&& storage) noexcept = 0;
    /// Of a feed: what happened, in order with the messages.
    virtual void On_event(const event_t& /*event*/) noexcept {}
    /// Of a feed: a connection was lost. The rest of a message of which fragments were handed out
    /// will not come, and after verdict_e::FAIL there may be another connection.
    virtual void On_interrupted() noexcept {}
    /// Reading goes on after a rest, and nobody asked for it meanwhile.
    virtual void On_rested() noexcept {}
    /// Messages dropped for want of room so far. Asked by any thread, at any time before and once
    /// after `On_end`, under a lock: it must not call the connection.
    [[nodiscard]] virtual std::uint64_t Dropped_messages() const noexcept { return 0; }
    /// Our close frame has been sent. From now on reading is not paused any more.
    virtual void On_closing() noexcept = 0;
    /// There is room in the write buffer again, after a `Send` with a wait of zero found none.
    virtual void On_room() noexcept = 0;
    /// The connection has failed to open, or was open and has ended. Last call.
    virtual void On_end() noexcept = 0;
};

}  // namespace wspool

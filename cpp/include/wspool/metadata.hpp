#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "wspool/client.hpp"
#include "wspool/error.hpp"
#include "wspool/export.hpp"
#include "wspool/listener.hpp"
#include "wspool/statistics.hpp"

namespace wspool {

/// A close frame (RFC 6455 section 5.5.1). Code 1005 stands for a frame without a code.
struct close_frame_t {
    std::uint16_t code = 1005;
    std::string reason;
};

/// The server's answer to the opening handshake.
struct response_t {
    int status = 0;
    std::string reason_phrase;
    std::vector<std::pair<std::string, std::string>> headers;  ///< as received, in order
    std::string body;                                          ///< of a refusal, up to 64 KiB
};

/// The request that was sent.
struct request_t {
    std::string path;  ///< with the query
    std::vector<std::pair<std::string, std::string>> headers;
};

/// One connection: its state, and what can be done with it.
///
/// Thread safety: distinct and shared objects: safe. A handle stays valid after the connection
/// has ended, and then answers from what is kept.
class WSPOOL_API metadata_c : public std::enable_shared_from_this<metadata_c> {
public:
    using client = websocketpp::client<detail::client_config>;

    enum class status_e { CONNECTING, OPENED, FAILED, CLOSED, CLOSING };

    /// Callbacks of one connection; each may be empty. They run under the thread rules of
    /// `listener_c`. The parser is the endpoint's and free to use during the call.
    struct on_callbacks_t {
        std::function<void(client&, websocketpp::connection_hdl)> on_open{};
        std::function<void(std::uint16_t code, std::string_view reason)> on_close{};
        /// `code` is the HTTP status of a refusal, else 0.
        std::function<void(std::uint16_t code, std::string_view error)> on_fail{};
        std::function<void(client&, websocketpp::connection_hdl, client::message_ptr,
                           simdjson::ondemand::parser&)>
            on_msg{};
        /// An exception that one of the above let out. Without it the exception is only counted.
        std::function<void(std::exception_ptr)> on_error{};
    };

    /// Called with the round-trip time, or with nothing if the connection ended first.
    using on_pong_t = std::function<void(std::optional<std::chrono::nanoseconds>)>;

    virtual ~metadata_c() = default;
    metadata_c(const metadata_c&) = delete;
    metadata_c& operator=(const metadata_c&) = delete;

    [[nodiscard]] virtual int Get_id() const noexcept = 0;
    /// The URI as given, without user name and password.
    [[nodiscard]] virtual const std::string& Get_uri() const noexcept = 0;
    [[nodiscard]] virtual status_e Get_status() const noexcept = 0;
    /// Why the connection failed or ended abnormally; null while there is nothing to say.
    [[nodiscard]] virtual std::shared_ptr<const error_c> Get_error() const = 0;

    /// Queues a message. `text` must be valid UTF-8 (checked). Safe from any thread, also
    /// inside callbacks; frames of concurrent callers never interleave.
    /// Above `options_t::write_bound` it waits for room, at most `wait` (none: until there is room
    /// or the connection ends); on the endpoint's own thread it does not wait.
    /// Errors: INVALID_STATE unless OPENED, INVALID_ARGUMENT for bad UTF-8, TIMEOUT after `wait`,
    /// BUFFER_FULL on the endpoint's own thread, CONCURRENCY while a message is sent in fragments.
    /// After an error nothing of it is sent.
    virtual error_ptr Send(std::string_view message, bool is_text,
                           std::optional<std::chrono::nanoseconds> wait = {}) = 0;
    /// Queues one fragment of a message (RFC 6455 section 5.4); uncompressed. `is_text` counts for
    /// the first one. Between the first and the final one no other message can be sent.
    /// Errors: as for `Send`; CONCURRENCY if another message is being sent in fragments.
    virtual error_ptr Send_fragment(std::string_view payload, bool is_text, bool is_first,
                                    bool is_final,
                                    std::optional<std::chrono::nanoseconds> wait = {}) = 0;
    /// Sends a ping (RFC 6455 section 5.5.2), payload at most 125 bytes. `on_pong` runs like a
    /// callback; on a connection with a sink right on the loop's thread, under the sink's rules.
    virtual error_ptr Ping(std::string_view payload, on_pong_t on_pong) = 0;
    /// Sends an unsolicited pong (section 5.5.3), payload at most 125 bytes.
    virtual error_ptr Pong(std::string_view payload) = 0;
    /// Starts the closing handshake (section 7.1.2) after what was sent before; returns at once.
    /// A connection that is still connecting is aborted. On an ended one it does nothing.
    /// Errors: INVALID_ARGUMENT for a code that may not be sent or a reason above 123 bytes.
    virtual error_ptr Close(std::uint16_t code = 1000, std::string_view reason = {}) = 0;
    /// Fails the connection (section 7.1.7): sends a close frame and takes no answer to it.
    /// Otherwise as `Close`, which does this by itself with 1011 in the middle of a message that is
    /// being sent in fragments.
    virtual error_ptr Fail(std::uint16_t code, std::string_view reason) = 0;
    /// Ends the connection at once, without a closing handshake. Returns at once.
    virtual void Abort() = 0;
    /// Waits until the last callback (on_close or on_fail) has returned. True if it has.
    /// On the endpoint's own thread it returns at once.
    virtual bool Wait_closed(std::optional<std::chrono::nanoseconds> timeout = {}) = 0;
    /// Goes on reading after a sink's verdict_e::PAUSE. Returns at once.
    virtual void Resume_reading() = 0;
    /// No callback starts after this returns, but for those of `Ping`, which still tell their
    /// callers. Called from another thread while one runs, it waits for that one to return.
    virtual void Disable_callbacks() = 0;
    [[nodiscard]] virtual bool Callbacks_disabled() const noexcept = 0;

    /// The close frames of both sides, where there were any.
    [[nodiscard]] virtual std::optional<close_frame_t> Received_close() const = 0;
    [[nodiscard]] virtual std::optional<close_frame_t> Sent_close() const = 0;
    /// True if the peer's close frame came before ours was sent.
    [[nodiscard]] virtual bool Received_close_first() const = 0;

    [[nodiscard]] virtual request_t Get_request() const = 0;
    /// Status 0 while no answer has been read.
    [[nodiscard]] virtual response_t Get_response() const = 0;
    /// The subprotocol the server chose; empty if none.
    [[nodiscard]] virtual std::string Get_subprotocol() const = 0;
    /// Host and port, of a Unix socket its path and 0; empty and 0 while not connected.
    [[nodiscard]] virtual std::pair<std::string, std::uint16_t> Get_local_address() const = 0;
    [[nodiscard]] virtual std::pair<std::string, std::uint16_t> Get_remote_address() const = 0;
    /// Round-trip time of the latest answered ping; zero before the first.
    [[nodiscard]] virtual std::chrono::nanoseconds Get_latency() const = 0;
    [[nodiscard]] virtual statistics_t Get_statistics() const = 0;
    /// Of a feed, the number of the connection that was ready last, from 1; 0 before the first.
    /// Without reconnection 1 once it has been open.
    [[nodiscard]] virtual std::uint32_t Get_generation() const noexcept = 0;
    /// Bytes accepted by `Send` and not yet handed to the system.
    [[nodiscard]] virtual std::size_t Get_buffered_amount() const = 0;

protected:
    metadata_c() = default;
};

}  // namespace wspool

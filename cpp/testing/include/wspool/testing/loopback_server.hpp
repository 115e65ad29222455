#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wspool/error.hpp"

namespace wspool::testing {

/// What the server does with an open connection. Pings and closes are answered in every mode.
enum class mode_e {
    ECHOING,    ///< sends every data frame back as it came, fragments one for one
    REPLAYING,  ///< sends `replay_options_t::messages`; counts what it receives
    SINKING,    ///< counts what it receives
};

struct message_t {
    std::string data;
    bool is_text = true;  ///< text must be UTF-8; it is sent unchecked, so tests may send worse
};

/// The feed that each connection of a replaying server gets.
struct replay_options_t {
    std::vector<message_t> messages;          ///< one cycle; not empty
    std::optional<std::uint64_t> repeat = 1;  ///< cycles to send; none: until the client goes
    double rate = 0;                  ///< messages a second and connection; 0: as the socket takes
    bool start_on_message = false;    ///< begin at the client's first data message, not at once
    std::size_t fragment = 0;         ///< payload bytes a frame; 0: one frame a message
    std::uint64_t ping_every = 0;     ///< a ping after each so many messages; 0: none
    bool close_after = true;          ///< close with 1000 after the last message
    bool record_per_message = false;  ///< one TLS record a message, else records filled to 16 KiB
};

struct loopback_options_t {
    mode_e mode = mode_e::ECHOING;
    std::string host = "127.0.0.1";         ///< IP literal to listen on, or "localhost"
    std::uint16_t port = 0;                 ///< 0: a free one
    std::vector<std::string> subprotocols;  ///< of these, the first that the client offers
    std::uint64_t max_size = 64U << 20U;    ///< bytes of a received message; above: close 1009
    std::string cert_file;                  ///< PEM chain; empty: plain ws://
    std::string key_file;                   ///< PEM key of cert_file
    bool checksum = true;  ///< CRC-32 of what echo and sink receive; costs about 1 ns a byte
    bool silent = false;   ///< once open, answers nothing: no pong, no close
    replay_options_t replay;
};

/// What one connection did so far. A plain value.
struct connection_record_t {
    std::size_t index = 0;  ///< in the order of accepting, from 0
    bool opened = false;    ///< the WebSocket handshake succeeded
    bool finished = false;  ///< the socket is closed
    std::string path;       ///< request target, with the query
    std::vector<std::pair<std::string, std::string>> headers;  ///< of the request, in its order
    std::string subprotocol;
    std::uint64_t messages_sent = 0;       ///< handed to the socket in full
    std::uint64_t payload_bytes_sent = 0;  ///< of these messages
    std::uint32_t crc32_sent = 0;          ///< zlib's CRC-32 over their payloads, concatenated
    std::uint64_t messages_received = 0;   ///< with their last fragment
    std::uint64_t payload_bytes_received = 0;
    std::uint32_t crc32_received = 0;  ///< 0 when `loopback_options_t::checksum` is off
    std::uint64_t pings_sent = 0;
    std::uint64_t pings_received = 0;
    std::uint64_t pongs_received = 0;
    std::optional<std::uint16_t> close_code_sent;      ///< none: no close frame was sent
    std::optional<std::uint16_t> close_code_received;  ///< 1005: a close frame without a code
    std::string error;  ///< why it ended without a closing handshake, else empty
};

/// A WebSocket server (RFC 6455, no extensions) for demos, tests and benchmarks on loopback, on
/// one thread of its own. It has no timeouts: a client that stalls is never punished. A replay's
/// frames are built once and shared by all connections.
///
/// `messages_sent` and its companions move when a write is complete; on a TLS connection that is
/// aborted, the last 256 KiB may have reached the client uncounted.
///
/// Thread safety: distinct and shared objects: safe, but for destruction. After fork() the child's
/// copy answers nothing, and its destruction leaks instead of joining a thread it doesn't have.
class loopback_server_c {
public:
    using seconds_t = std::chrono::duration<double>;

    /// Listens and starts the thread. On failure returns null and sets `error`.
    [[nodiscard]] static std::unique_ptr<loopback_server_c> Create(loopback_options_t options,
                                                                   error_ptr& error);

    /// As Close() without waiting for the clients.
    ~loopback_server_c();
    loopback_server_c(const loopback_server_c&) = delete;
    loopback_server_c& operator=(const loopback_server_c&) = delete;

    [[nodiscard]] std::uint16_t Port() const noexcept;
    /// "ws://127.0.0.1:PORT"; with TLS "wss://localhost:PORT".
    [[nodiscard]] std::string Uri() const;
    /// False once Close() returned, and in a forked child.
    [[nodiscard]] bool Running() const noexcept;

    /// A record of each connection since the start, also after Close().
    [[nodiscard]] std::vector<connection_record_t> Connections() const;

    /// These wait until the condition holds (true) or `timeout` passed (false).
    /// Wait_connections: `count` connections have been opened since the start.
    bool Wait_connections(std::size_t count, seconds_t timeout) const;
    /// Wait_idle: no accepted connection is unfinished.
    bool Wait_idle(seconds_t timeout) const;
    /// Wait_messages: all connections together sent and received at least so many messages.
    bool Wait_messages(std::uint64_t sent, std::uint64_t received, seconds_t timeout) const;

    /// These act on the connections that are open when the server's thread gets to it.
    /// Payload and reason are cut to what a control frame holds (125 and 123 bytes).
    void Send_ping(std::string payload);
    void Close_connections(std::uint16_t code, std::string reason);
    /// Drops every connection with a TCP reset.
    void Abort_connections();

    /// Stops listening, closes the connections with 1001, gives the clients `timeout` to answer,
    /// drops the rest and joins the thread. A second call returns at once.
    void Close(seconds_t timeout);

private:
    struct impl;
    explicit loopback_server_c(std::unique_ptr<impl> state);
    std::unique_ptr<impl> impl_;
};

}  // namespace wspool::testing

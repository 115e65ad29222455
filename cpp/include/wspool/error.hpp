#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "wspool/export.hpp"

namespace wspool {

/// What went wrong. A caller branches on this; `error_c::Error_msg()` is for people.
enum class error_e {
    INVALID_ARGUMENT,    ///< an option or argument is out of range; the message names it
    INVALID_URI,         ///< not a ws:// or wss:// URI (RFC 6455 section 3)
    INVALID_STATE,       ///< the connection is not open, or is closing
    UNKNOWN_CONNECTION,  ///< no connection with this id on this endpoint
    RESOLVE,             ///< the host name has no address
    CONNECT,             ///< TCP could not connect, or the connection was lost
    TLS,                 ///< the TLS handshake or a TLS record failed
    TLS_VERIFY,          ///< the server's certificate was not accepted
    TIMEOUT,             ///< a deadline passed
    HANDSHAKE,           ///< the server's answer was not a valid HTTP response
    STATUS,              ///< the server answered with another HTTP status than 101
    UPGRADE,             ///< status 101, but not a WebSocket upgrade (RFC 6455 section 4.1)
    NEGOTIATION,         ///< a subprotocol or an extension that was not offered
    PROXY,               ///< the proxy refused, or did not keep to its protocol
    PREPARATION,         ///< user code that makes what an attempt needs has failed
    SECURITY,            ///< a bound on the handshake was passed (size or number of headers,
                         ///< number of redirects), or a redirect that is not safe to follow
    PROTOCOL,            ///< the peer broke RFC 6455, or sent fragments of nothing without end; the
                         ///< connection was failed
    PAYLOAD_TOO_BIG,     ///< a message above max_size; the connection was failed with 1009
    BUFFER_FULL,         ///< the write buffer is at its bound, and this thread may not wait
    END_OF_STREAM,       ///< the peer ended TCP before the handshake or the closing was complete
    QUEUE_FULL,          ///< the consumer was too slow, and overflow_e::FAIL was asked for
    CONCURRENCY,         ///< another message is being sent in fragments
    CLOSED,              ///< the connection ended
    ABORTED,             ///< ended by this side without a closing handshake
    WRONG_PROCESS,       ///< the object belongs to the process before fork()
};

/// An error: a code to branch on and a sentence to read. Immutable; any thread may read it.
class WSPOOL_API error_c {
public:
    error_c(error_e code, std::string message, int http_status = 0, int system_code = 0)
        : code_(code),
          message_(std::move(message)),
          http_status_(http_status),
          system_code_(system_code) {}

    [[nodiscard]] error_e Code() const noexcept { return code_; }
    /// One sentence, without credentials; names the argument or the peer concerned.
    [[nodiscard]] const std::string& Error_msg() const noexcept { return message_; }
    /// The HTTP status of the answer, for `error_e::STATUS` and `error_e::PROXY`; else 0.
    [[nodiscard]] int Http_status() const noexcept { return http_status_; }
    /// The operating system's errno where it had one; else 0.
    [[nodiscard]] int System_code() const noexcept { return system_code_; }

private:
    error_e code_;
    std::string message_;
    int http_status_;
    int system_code_;
};

/// Null means success. Returned by value, so an error costs an allocation and success costs none.
using error_ptr = std::unique_ptr<const error_c>;

}  // namespace wspool

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "wspool/error.hpp"
#include "wspool/proxy.hpp"

namespace wspool::transport {

/// Asks a proxy for a connection to somebody else: CONNECT (RFC 9110 section 9.3.6) or SOCKS5
/// (RFC 1928, RFC 1929). No I/O: bytes in, bytes out. What the proxy says is bounded, and anything
/// behind its answer is refused: the peer does not speak first.
///
/// Thread safety: distinct objects: safe. Shared objects: unsafe.
class proxy_handshake {
public:
    enum class step_e { wants_read, done, failed };
    /// Of the answer to CONNECT, headers included; longer ones fail.
    static constexpr std::size_t longest_answer = 16 * 1024;

    /// To `host`, a name or an address (IPv6 without brackets).
    proxy_handshake(const proxy_t& proxy, std::string host, std::uint16_t port,
                    std::string user_agent);

    /// What is to be sent now; empty: nothing. It is sent once.
    std::string take_output();
    /// Takes what the proxy has sent.
    step_e take(std::string_view bytes);
    /// What went wrong, after `failed`.
    [[nodiscard]] error_ptr take_error() { return std::move(error_); }

private:
    enum class state_e { HTTP, GREETING, CREDENTIALS, REQUEST, DONE };

    void begin_connect(const std::string& user_agent);
    void begin_socks();
    void send_socks_request();
    step_e take_http();
    step_e take_socks();
    step_e fail(std::string why, int status = 0, int system_code = 0);
    step_e deny(std::string why);

    const proxy_t proxy_;
    const std::string host_;
    const std::uint16_t port_;
    state_e state_ = state_e::HTTP;
    std::string input_;
    std::string output_;
    error_ptr error_;
};

}  // namespace wspool::transport

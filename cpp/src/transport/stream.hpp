#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <asio.hpp>

#include "transport/byte_buffer.hpp"
#include "transport/tls_session.hpp"

namespace wspool::transport {

/// Writes what the system takes at once; 0 if that is nothing, or if it failed, which the next
/// `stream::flush` finds out. Any thread, as long as the descriptor is open.
std::size_t send_some(int descriptor, const char* bytes, std::size_t size);

/// A connected TCP or Unix socket, plain or under TLS, without blocking. Waiting is the caller's,
/// by `wait`; everything else returns at once.
///
/// Thread safety: distinct objects: safe. Shared objects: unsafe (loop thread only).
class stream {
public:
    enum class result_e { done, would_block, end, failed };

    using socket_t = asio::generic::stream_protocol::socket;
    /// Host and port; of a Unix socket the path, empty where it has none, and 0.
    using address_t = std::pair<std::string, std::uint16_t>;

    explicit stream(asio::io_context& io) : socket_(io) {}

    [[nodiscard]] socket_t& socket() { return socket_; }
    /// Empty and 0 where the system does not know, as after a loss.
    [[nodiscard]] address_t local_address() const;
    [[nodiscard]] address_t remote_address() const;
    /// How the system finds a peer that is gone without a word. Zero leaves that to the system.
    struct liveness_t {
        std::chrono::milliseconds keepalive_idle{30'000};      ///< silence before TCP asks
        std::chrono::milliseconds keepalive_interval{10'000};  ///< between questions, three in all
    };
    /// Whether the peer's system has acknowledged nothing for so long although something waits for
    /// that. TCP_USER_TIMEOUT would also count a peer that lives, and does not read. False where
    /// the system does not tell.
    [[nodiscard]] bool is_peer_gone(std::chrono::milliseconds after) const;
    /// Takes a connected socket, and sets what every connection wants: no Nagle, no blocking, no
    /// SIGPIPE, TCP's own keepalive.
    void adopt(socket_t&& socket, const liveness_t& liveness);

    /// See `tls_session`.
    void start_tls(std::shared_ptr<const tls_context_c> context, const std::string& server_name,
                   bool identifies_itself);
    [[nodiscard]] bool is_tls() const { return tls_ != nullptr; }
    /// Whether what is written goes to the socket as it is.
    [[nodiscard]] bool is_plain() const { return !tls_ && !tunnel_; }
    /// TLS to a proxy: everything else goes through it, `start_tls` included.
    void start_tunnel_tls(std::shared_ptr<const tls_context_c> context,
                          const std::string& server_name);
    /// As `tls_handshake`, of that.
    result_e tunnel_handshake();
    /// One step of the TLS handshake: `would_block` means wait for readability, after `flush`.
    result_e tls_handshake(char* scratch, std::size_t scratch_size);

    /// Reads what one call of the system brings. `scratch` takes ciphertext and may be null for a
    /// plain stream.
    result_e read(char* out, std::size_t size, char* scratch, std::size_t scratch_size,
                  std::size_t& count);
    /// True if there is input that the system will not announce.
    [[nodiscard]] bool has_input() const { return more_; }

    /// Takes bytes to write: all of them, unless much is waiting already (then 0).
    std::size_t write(const char* bytes, std::size_t size);
    /// Gives to the system what it takes. `done`: nothing is left.
    result_e flush();
    /// Frees the memory of output that has gone.
    void shrink() {
        (tls_ ? tls_->output() : out_).shrink();
        if (tunnel_) tunnel_->output().shrink();
    }
    [[nodiscard]] std::size_t unsent() const {
        return out_.size() + tls_unsent() + (tunnel_ ? tunnel_->output().size() : 0);
    }

    template <typename Handler>
    void wait_readable(Handler&& handler) {
        socket_.async_wait(socket_t::wait_read, std::forward<Handler>(handler));
    }
    template <typename Handler>
    void wait_writable(Handler&& handler) {
        socket_.async_wait(socket_t::wait_write, std::forward<Handler>(handler));
    }

    /// No more writing: what is left, as far as the system takes it, close_notify and FIN.
    void finish();
    void close();

    [[nodiscard]] std::uint64_t bytes_in() const { return bytes_in_; }
    [[nodiscard]] std::uint64_t bytes_out() const { return bytes_out_; }
    /// What failed, after `failed`.
    [[nodiscard]] error_ptr take_error() { return std::move(error_); }

private:
    [[nodiscard]] std::size_t tls_unsent() const { return tls_ ? tls_->output().size() : 0; }
    result_e receive(char* out, std::size_t size, std::size_t& count);
    [[nodiscard]] bool tunnel_has_more() const;
    result_e receive_from_system(char* out, std::size_t size, std::size_t& count);
    result_e send_all(byte_buffer& buffer);
    result_e handshake(tls_session& tls, char* scratch, std::size_t scratch_size, bool in_tunnel);
    result_e failed_by_system(const char* what, int code);
    result_e failed_by_tls(tls_session& tls);

    socket_t socket_;
    std::unique_ptr<tls_session> tls_;
    std::unique_ptr<tls_session> tunnel_;
    bool tunnel_ended_ = false;  // by the proxy's close_notify, or a failure
    byte_buffer out_;            // of a plain stream
    bool more_ = false;
    bool write_failed_ = false;  // TLS takes nothing any more
    std::uint64_t bytes_in_ = 0;
    std::uint64_t bytes_out_ = 0;
    error_ptr error_;
};

}  // namespace wspool::transport

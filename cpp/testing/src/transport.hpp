#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net.hpp"
#include "wspool/error.hpp"

namespace wspool::testing {

struct openssl_delete {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
    void operator()(SSL* tls) const noexcept { SSL_free(tls); }
};

using tls_context = std::unique_ptr<SSL_CTX, openssl_delete>;

/// A server's context, TLS 1.2 or later. Null with `error` set if a file is not usable.
[[nodiscard]] tls_context make_tls_context(const std::string& cert_file,
                                           const std::string& key_file, error_ptr& error);

/// What a non-blocking call came to. `again`: wait for the socket, then call again.
enum class io_status { done, again, eof, failed };

/// One accepted connection's bytes, plain or TLS, without ever blocking. Plain bytes go from the
/// caller's memory to the socket; TLS records are gathered and sent together.
///
/// Thread safety: one thread.
class transport {
public:
    /// `context` null: plain; otherwise it must outlive this.
    transport(asio::ip::tcp::socket socket, SSL_CTX* context);
    ~transport();
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    [[nodiscard]] bool secure() const noexcept { return tls_ != nullptr; }
    /// TLS handshake; at once `done` on a plain connection.
    io_status handshake();
    /// `done`: `size` became the number of bytes read, at least one.
    io_status read(char* data, std::size_t& size);
    /// `done`: `size` became the number of bytes taken, at least one. On TLS, taken means staged:
    /// one call makes records of at most 16 KiB, none of which has another call's bytes.
    io_status write(const char* data, std::size_t& size);
    /// Sends what is staged; `done` when nothing is left.
    io_status flush();
    [[nodiscard]] bool staged() const noexcept { return records_sent_ < records_.size(); }
    /// So much is staged that it must be flushed before the next write.
    [[nodiscard]] bool full() const noexcept { return records_.size() >= staged_bound; }
    /// Ends the sending direction (close_notify, then FIN).
    void end_of_stream();
    /// `reset`: with a TCP reset in place of an orderly end.
    void close(bool reset);
    [[nodiscard]] asio::ip::tcp::socket::executor_type executor() { return socket_.get_executor(); }
    /// Says why a call answered `failed`.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

    template <typename Handler>
    void when_readable(Handler&& handler) {
        socket_.async_wait(asio::ip::tcp::socket::wait_read, std::forward<Handler>(handler));
    }
    template <typename Handler>
    void when_writable(Handler&& handler) {
        socket_.async_wait(asio::ip::tcp::socket::wait_write, std::forward<Handler>(handler));
    }

private:
    // Enough records to make a send cheap; more would only grow the memory of each connection.
    static constexpr std::size_t staged_bound = 256U << 10U;

    struct bio;

    io_status receive(char* data, std::size_t& size);
    io_status send(const char* data, std::size_t& size);
    io_status tls_result(int result);

    asio::ip::tcp::socket socket_;
    std::vector<char> received_;  // TLS only: bytes that the SSL object hasn't taken yet
    std::size_t received_at_ = 0;
    std::size_t received_end_ = 0;
    bool ended_ = false;   // the peer's sending direction
    std::string records_;  // TLS records not yet sent
    std::size_t records_sent_ = 0;
    std::string error_;
    bool broken_ = false;  // after a TLS error no close_notify may be sent
    std::unique_ptr<SSL, openssl_delete> tls_;
};

}  // namespace wspool::testing

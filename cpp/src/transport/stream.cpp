#include "transport/stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

namespace wspool::transport {

namespace {

// Above this, ciphertext waits for the socket before more is made.
constexpr std::size_t enough_ciphertext = 256 * 1024;
// Of the ciphertext of a proxy that is read at a time: a TLS record.
constexpr std::size_t tunnel_piece = 16 * 1024;

#ifdef MSG_NOSIGNAL
constexpr int send_flags = MSG_NOSIGNAL;
#else
constexpr int send_flags = 0;  // SO_NOSIGPIPE does it there, see prepare()
#endif

stream::address_t text_of(const asio::generic::stream_protocol::endpoint& address) {
    if (address.protocol().family() == AF_UNIX) {
        const std::size_t size = address.size() - offsetof(sockaddr_un, sun_path);
        const auto* path = reinterpret_cast<const sockaddr_un*>(address.data())->sun_path;
        return {std::string(path, strnlen(path, size)), 0};
    }
    asio::ip::tcp::endpoint internet;
    if (address.size() > internet.capacity()) return {};
    std::memcpy(internet.data(), address.data(), address.size());
    return {internet.address().to_string(), internet.port()};
}

void set_int(int descriptor, int level, int name, std::int64_t value) {
    const int number = static_cast<int>(value);
    setsockopt(descriptor, level, name, &number, sizeof number);
}

/// A Unix socket's peer cannot vanish without the system knowing.
void set_liveness(int descriptor, const stream::liveness_t& liveness) {
    using std::chrono::duration_cast;
    using std::chrono::seconds;
    constexpr int questions = 3;
    if (liveness.keepalive_idle.count() > 0) {
        set_int(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
        set_int(descriptor, IPPROTO_TCP, TCP_KEEPIDLE,
                duration_cast<seconds>(liveness.keepalive_idle).count());
#elif defined(TCP_KEEPALIVE)  // of macOS
        set_int(descriptor, IPPROTO_TCP, TCP_KEEPALIVE,
                duration_cast<seconds>(liveness.keepalive_idle).count());
#endif
#ifdef TCP_KEEPINTVL
        set_int(descriptor, IPPROTO_TCP, TCP_KEEPINTVL,
                duration_cast<seconds>(liveness.keepalive_interval).count());
        set_int(descriptor, IPPROTO_TCP, TCP_KEEPCNT, questions);
#endif
    }
}

}  // namespace

stream::address_t stream::local_address() const {
    std::error_code unknown;
    const auto address = socket_.local_endpoint(unknown);
    return unknown ? address_t() : text_of(address);
}

stream::address_t stream::remote_address() const {
    std::error_code unknown;
    const auto address = socket_.remote_endpoint(unknown);
    return unknown ? address_t() : text_of(address);
}

void stream::adopt(socket_t&& socket, const liveness_t& liveness) {
    std::error_code failed;
    const auto address = socket.local_endpoint(failed);
    socket_ = std::move(socket);
#ifdef __linux__
    // Since connecting waited for writability, Asio's epoll would tell of it with every wait for
    // input: a second wake-up a message. Registered anew, it does so only if that is asked for.
    if (!failed) {
        const auto descriptor = socket_.release(failed);
        if (!failed) socket_.assign(address.protocol(), descriptor, failed);
    }
#endif
    std::error_code ignored;
    socket_.native_non_blocking(true, ignored);
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    if (!failed && address.protocol().family() != AF_UNIX) {
        set_liveness(socket_.native_handle(), liveness);
    }
#ifdef SO_NOSIGPIPE
    const int on = 1;
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

bool stream::is_peer_gone(std::chrono::milliseconds after) const {
#ifdef __linux__
    tcp_info info{};
    socklen_t size = sizeof info;
    const int descriptor = const_cast<socket_t&>(socket_).native_handle();
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    // Sent and not acknowledged, and sent again by now; a window that is closed is acknowledged.
    return info.tcpi_unacked > 0 && info.tcpi_retransmits > 0 &&
           std::chrono::milliseconds(info.tcpi_last_ack_recv) >= after;
#else
    static_cast<void>(after);
    return false;
#endif
}

std::size_t send_some(int descriptor, const char* bytes, std::size_t size) {
    const ssize_t sent = ::send(descriptor, bytes, size, send_flags);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

void stream::start_tls(std::shared_ptr<const tls_context_c> context, const std::string& server_name,
                       bool identifies_itself) {
    tls_ = std::make_unique<tls_session>(std::move(context), server_name, identifies_itself);
}

stream::result_e stream::failed_by_system(const char* what, int code) {
    error_ = std::make_unique<error_c>(
        error_e::CONNECT, std::string(what) + ": " + std::generic_category().message(code), 0,
        code);
    return result_e::failed;
}

stream::result_e stream::failed_by_tls(tls_session& tls) {
    error_ = tls.take_error();
    return result_e::failed;
}

void stream::start_tunnel_tls(std::shared_ptr<const tls_context_c> context,
                              const std::string& server_name) {
    tunnel_ = std::make_unique<tls_session>(std::move(context), server_name, true);
}

stream::result_e stream::receive_from_system(char* out, std::size_t size, std::size_t& count) {
    while (true) {
        const ssize_t got = ::recv(socket_.native_handle(), out, size, 0);
        if (got > 0) {
            count = static_cast<std::size_t>(got);
            bytes_in_ += count;
            return result_e::done;
        }
        count = 0;
        if (got == 0) return result_e::end;
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return result_e::would_block;
        return failed_by_system("connection lost", errno);
    }
}

bool stream::tunnel_has_more() const { return tunnel_ && (tunnel_ended_ || tunnel_->has_input()); }

/// What comes from the peer: through the tunnel if there is one.
stream::result_e stream::receive(char* out, std::size_t size, std::size_t& count) {
    if (!tunnel_) return receive_from_system(out, size, count);
    while (true) {
        const auto step = tunnel_->read(out, size, count);
        tunnel_->keep_rest();
        // With the last bytes: nothing more comes from the system, so the next read must be made.
        tunnel_ended_ = step == tls_session::step_e::closed || step == tls_session::step_e::failed;
        if (count != 0) return result_e::done;
        if (step == tls_session::step_e::closed) return result_e::end;
        if (step == tls_session::step_e::failed) return failed_by_tls(*tunnel_);
        std::array<char, tunnel_piece> ciphertext;
        std::size_t got = 0;
        const result_e received = receive_from_system(ciphertext.data(), ciphertext.size(), got);
        if (received != result_e::done) return received;
        tunnel_->feed(ciphertext.data(), got);
        tunnel_->keep_rest();
    }
}

stream::result_e stream::handshake(tls_session& tls, char* scratch, std::size_t scratch_size,
                                   bool in_tunnel) {
    while (true) {
        switch (tls.handshake()) {
            case tls_session::step_e::done:
                tls.keep_rest();
                more_ = tls.has_input() ||  // the server may speak first
                        (in_tunnel && tunnel_has_more());
                return result_e::done;
            case tls_session::step_e::closed:
                return result_e::end;
            case tls_session::step_e::failed:
                return failed_by_tls(tls);
            case tls_session::step_e::wants_read:
                break;
        }
        std::size_t count = 0;
        const result_e got = in_tunnel ? receive(scratch, scratch_size, count)
                                       : receive_from_system(scratch, scratch_size, count);
        if (got != result_e::done) return got;
        tls.feed(scratch, count);
        if (!in_tunnel) tls.keep_rest();
    }
}

stream::result_e stream::tls_handshake(char* scratch, std::size_t scratch_size) {
    return handshake(*tls_, scratch, scratch_size, true);
}

stream::result_e stream::tunnel_handshake() {
    std::array<char, tunnel_piece> scratch;
    return handshake(*tunnel_, scratch.data(), scratch.size(), false);
}

stream::result_e stream::read(char* out, std::size_t size, char* scratch, std::size_t scratch_size,
                              std::size_t& count) {
    more_ = false;
    if (!tls_) {
        const result_e got = receive(out, size, count);
        more_ = got == result_e::done && tunnel_has_more();
        return got;
    }
    bool received = false;
    while (true) {
        switch (tls_->read(out, size, count)) {
            case tls_session::step_e::done:
                tls_->keep_rest();
                more_ = true;  // a record may be half read, inside OpenSSL as well
                return result_e::done;
            case tls_session::step_e::closed:
                if (count != 0) more_ = true;  // the end comes with the next read
                return count != 0 ? result_e::done : result_e::end;
            case tls_session::step_e::failed:
                if (count == 0) return failed_by_tls(*tls_);
                more_ = true;  // what was read before goes out first
                return result_e::done;
            case tls_session::step_e::wants_read:
                break;
        }
        if (count != 0 || received) {
            more_ = tunnel_has_more();
            return count != 0 ? result_e::done : result_e::would_block;
        }
        std::size_t fed = 0;
        const result_e got = receive(scratch, scratch_size, fed);
        if (got != result_e::done) return got;
        tls_->feed(scratch, fed);
        received = true;
    }
}

std::size_t stream::write(const char* bytes, std::size_t size) {
    if (unsent() >= enough_ciphertext) return 0;
    if (!tls_) {
        out_.append(bytes, size);
        return size;
    }
    size = std::min(size, enough_ciphertext);
    if (tls_->write(bytes, size)) return size;
    write_failed_ = true;  // the next flush says so
    return 0;
}

stream::result_e stream::send_all(byte_buffer& buffer) {
    while (!buffer.empty()) {
        const ssize_t sent =
            ::send(socket_.native_handle(), buffer.data(), buffer.size(), send_flags);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return result_e::would_block;
            return failed_by_system("connection lost", errno);
        }
        bytes_out_ += static_cast<std::uint64_t>(sent);
        buffer.consume(static_cast<std::size_t>(sent));
    }
    return result_e::done;
}

stream::result_e stream::flush() {
    byte_buffer& buffer = tls_ ? tls_->output() : out_;
    if (tunnel_ && !buffer.empty()) {
        const bool encrypted = tunnel_->write(buffer.data(), buffer.size());
        buffer.clear();
        if (!encrypted) return failed_by_tls(*tunnel_);
    }
    const result_e sent = send_all(tunnel_ ? tunnel_->output() : buffer);
    if (sent != result_e::done) return sent;
    return write_failed_ ? failed_by_tls(*tls_) : result_e::done;
}

void stream::finish() {
    if (tls_) tls_->shut_down();
    flush();
    if (tunnel_) {
        tunnel_->shut_down();
        send_all(tunnel_->output());
    }
    std::error_code ignored;
    socket_.shutdown(socket_t::shutdown_send, ignored);
}

void stream::close() {
    std::error_code ignored;
    socket_.close(ignored);
}

}  // namespace wspool::transport

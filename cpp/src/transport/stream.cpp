#include "transport/stream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

namespace wspool::transport {

namespace {

// Above this, ciphertext waits for the socket before more is made.
constexpr std::size_t enough_ciphertext = 256 * 1024;

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

void stream::adopt(socket_t&& socket) {
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
#ifdef SO_NOSIGPIPE
    const int on = 1;
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
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

stream::result_e stream::failed_by_tls() {
    error_ = tls_->take_error();
    return result_e::failed;
}

stream::result_e stream::receive(char* out, std::size_t size, std::size_t& count) {
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

stream::result_e stream::tls_handshake(char* scratch, std::size_t scratch_size) {
    while (true) {
        switch (tls_->handshake()) {
            case tls_session::step_e::done:
                tls_->keep_rest();
                more_ = tls_->has_input();  // the server may speak first
                return result_e::done;
            case tls_session::step_e::closed:
                return result_e::end;
            case tls_session::step_e::failed:
                return failed_by_tls();
            case tls_session::step_e::wants_read:
                break;
        }
        std::size_t count = 0;
        const result_e got = receive(scratch, scratch_size, count);
        if (got != result_e::done) return got;
        tls_->feed(scratch, count);
    }
}

stream::result_e stream::read(char* out, std::size_t size, char* scratch, std::size_t scratch_size,
                              std::size_t& count) {
    more_ = false;
    if (!tls_) return receive(out, size, count);
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
                if (count == 0) return failed_by_tls();
                more_ = true;  // what was read before goes out first
                return result_e::done;
            case tls_session::step_e::wants_read:
                break;
        }
        if (count != 0 || received) return count != 0 ? result_e::done : result_e::would_block;
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

stream::result_e stream::flush() {
    byte_buffer& buffer = tls_ ? tls_->output() : out_;
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
    return write_failed_ ? failed_by_tls() : result_e::done;
}

void stream::finish() {
    if (tls_) {
        tls_->shut_down();
        flush();
    }
    std::error_code ignored;
    socket_.shutdown(socket_t::shutdown_send, ignored);
}

void stream::close() {
    std::error_code ignored;
    socket_.close(ignored);
}

}  // namespace wspool::transport

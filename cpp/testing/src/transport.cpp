#include "transport.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "process.hpp"

namespace wspool::testing {
namespace {

// Room for two records: many small ones come with one read call.
constexpr std::size_t received_room = 32U << 10U;

std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    return reason != nullptr ? reason : "unknown error";
}

long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

struct method_delete {
    void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
};

error_ptr bad_file(const char* argument, const std::string& path) {
    return std::make_unique<const error_c>(
        error_e::INVALID_ARGUMENT,
        std::string(argument) + ": cannot use '" + path + "': " + openssl_reason());
}

}  // namespace

// The TLS object's ends. OpenSSL's memory BIO clears its whole buffer each time it is emptied, and
// its read-ahead moves all that is buffered at every record from 128 bytes on. No exception may
// pass through OpenSSL's frames.
struct transport::bio {
    static int write(BIO* self, const char* data, int size) {
        if (size <= 0) return 0;
        try {
            of(self).records_.append(data, static_cast<std::size_t>(size));
        } catch (const std::bad_alloc&) {
            return -1;
        }
        return size;
    }

    static int read(BIO* self, char* data, int size) {
        BIO_clear_retry_flags(self);
        transport& owner = of(self);
        if (size <= 0) return 0;
        if (owner.received_at_ == owner.received_end_) {
            std::size_t room = owner.received_.size();
            owner.received_at_ = owner.received_end_ = 0;
            switch (owner.receive(owner.received_.data(), room)) {
                case io_status::done:
                    owner.received_end_ = room;
                    break;
                case io_status::again:
                    BIO_set_retry_read(self);
                    return -1;
                case io_status::eof:
                    owner.ended_ = true;
                    return 0;
                case io_status::failed:
                    return -1;
            }
        }
        const std::size_t count =
            std::min(static_cast<std::size_t>(size), owner.received_end_ - owner.received_at_);
        std::memcpy(data, owner.received_.data() + owner.received_at_, count);
        owner.received_at_ += count;
        return static_cast<int>(count);
    }

    static const BIO_METHOD* method() {
        static const std::unique_ptr<BIO_METHOD, method_delete> made = [] {
            std::unique_ptr<BIO_METHOD, method_delete> fresh(
                BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wspool transport"));
            if (fresh == nullptr) throw std::bad_alloc();
            BIO_meth_set_read(fresh.get(), read);
            BIO_meth_set_write(fresh.get(), write);
            BIO_meth_set_ctrl(fresh.get(), control);
            return fresh;
        }();
        return made.get();
    }

private:
    static transport& of(BIO* self) { return *static_cast<transport*>(BIO_get_data(self)); }
};

tls_context make_tls_context(const std::string& cert_file, const std::string& key_file,
                             error_ptr& error) {
    ERR_clear_error();
    tls_context context(SSL_CTX_new(TLS_server_method()));
    if (context == nullptr) {
        error = std::make_unique<const error_c>(error_e::TLS, "TLS: " + openssl_reason());
        return nullptr;
    }
    SSL_CTX* raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(
        raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // Without TLS 1.3 session tickets: a client that reads and writes one SSL object on two
    // threads, as websockets' sync client does, can lose its first write while it takes in a
    // ticket.
    SSL_CTX_set_num_tickets(raw, 0);
    if (SSL_CTX_use_certificate_chain_file(raw, cert_file.c_str()) != 1) {
        error = bad_file("cert_file", cert_file);
        return nullptr;
    }
    if (SSL_CTX_use_PrivateKey_file(raw, key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(raw) != 1) {
        error = bad_file("key_file", key_file);
        return nullptr;
    }
    return context;
}

transport::transport(asio::ip::tcp::socket socket, SSL_CTX* context) : socket_(std::move(socket)) {
    std::error_code ignored;
    socket_.non_blocking(true, ignored);
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    close_on_exec(socket_.native_handle());
    if (context == nullptr) return;
    tls_.reset(SSL_new(context));
    BIO* const both = BIO_new(bio::method());
    if (tls_ == nullptr || both == nullptr) {
        BIO_free(both);
        throw std::bad_alloc();
    }
    BIO_set_data(both, this);
    BIO_set_init(both, 1);
    SSL_set_bio(tls_.get(), both, both);  // owns it from here
    received_.resize(received_room);
    SSL_set_accept_state(tls_.get());
}

transport::~transport() { close(false); }

io_status transport::tls_result(int result) {
    switch (SSL_get_error(tls_.get(), result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            return io_status::again;
        case SSL_ERROR_ZERO_RETURN:
            return io_status::eof;
        default:
            broken_ = true;
            if (ended_) return io_status::eof;  // without close_notify
            if (error_.empty()) error_ = "TLS: " + openssl_reason();
            return io_status::failed;
    }
}

io_status transport::handshake() {
    if (tls_ == nullptr) return io_status::done;
    ERR_clear_error();
    const int result = SSL_do_handshake(tls_.get());
    return result == 1 ? io_status::done : tls_result(result);
}

io_status transport::read(char* data, std::size_t& size) {
    if (tls_ != nullptr) {
        ERR_clear_error();
        const int result = SSL_read_ex(tls_.get(), data, size, &size);
        return result == 1 ? io_status::done : tls_result(result);
    }
    return receive(data, size);
}

io_status transport::receive(char* data, std::size_t& size) {
    std::error_code error;
    size = socket_.read_some(asio::buffer(data, size), error);
    if (!error) return io_status::done;
    if (error == asio::error::would_block) return io_status::again;
    if (error == asio::error::eof) return io_status::eof;
    error_ = error.message();
    return io_status::failed;
}

io_status transport::send(const char* data, std::size_t& size) {
    std::error_code error;
    size = socket_.write_some(asio::buffer(data, size), error);
    if (!error) return io_status::done;
    if (error == asio::error::would_block) return io_status::again;
    broken_ = true;
    error_ = error.message();
    return io_status::failed;
}

io_status transport::write(const char* data, std::size_t& size) {
    if (tls_ == nullptr) return send(data, size);
    ERR_clear_error();
    size = std::min(size, staged_bound);
    const int result = SSL_write_ex(tls_.get(), data, size, &size);
    return result == 1 ? io_status::done : tls_result(result);
}

io_status transport::flush() {
    while (staged()) {
        std::size_t size = records_.size() - records_sent_;
        if (const io_status status = send(records_.data() + records_sent_, size);
            status != io_status::done) {
            return status;
        }
        records_sent_ += size;
    }
    records_.clear();
    records_sent_ = 0;
    return io_status::done;
}

void transport::end_of_stream() {
    if (tls_ != nullptr && !broken_) {
        ERR_clear_error();
        SSL_shutdown(tls_.get());
        flush();  // close_notify is 31 bytes; a socket too full for it loses nothing of worth
    }
    std::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void transport::close(bool reset) {
    if (!socket_.is_open()) return;
    std::error_code ignored;
    if (reset) {
        socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    } else {
        // After a fork a child may hold a copy of the descriptor: close() alone would not tell
        // the peer.
        socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    }
    socket_.close(ignored);
}

}  // namespace wspool::testing

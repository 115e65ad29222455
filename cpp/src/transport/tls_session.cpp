#include "transport/tls_session.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <stdexcept>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

namespace wspool::transport {

/// The BIO through which OpenSSL takes from `feed` and gives to `output`: no socket, no copy
/// into a memory BIO first.
struct bio_calls {
    static int read(BIO* bio, char* out, int size) {
        auto& self = *static_cast<tls_session*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        const auto wanted = static_cast<std::size_t>(size);
        if (!self.kept_.empty()) {
            const std::size_t count = std::min(wanted, self.kept_.size());
            std::memcpy(out, self.kept_.data(), count);
            self.kept_.consume(count);
            return static_cast<int>(count);
        }
        if (self.input_size_ == 0) {
            BIO_set_retry_read(bio);
            return -1;
        }
        const std::size_t count = std::min(wanted, self.input_size_);
        std::memcpy(out, self.input_, count);
        self.input_ += count;
        self.input_size_ -= count;
        return static_cast<int>(count);
    }

    static int write(BIO* bio, const char* bytes, int size) {
        auto& self = *static_cast<tls_session*>(BIO_get_data(bio));
        self.output_.append(bytes, static_cast<std::size_t>(size));
        return size;
    }

    static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    static BIO_METHOD* method() {
        static BIO_METHOD* const method = [] {
            BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wspool");
            if (made == nullptr) throw std::bad_alloc();
            BIO_meth_set_read(made, read);
            BIO_meth_set_write(made, write);
            BIO_meth_set_ctrl(made, control);
            return made;
        }();
        return method;
    }
};

namespace {

bool is_address(const std::string& name) {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    return inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
           inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

}  // namespace

tls_session::tls_session(std::shared_ptr<const tls_context_c> context,
                         const std::string& server_name, bool identifies_itself)
    : context_(std::move(context)),
      ssl_(SSL_new(context_->Get_impl().context.get())),
      server_name_(server_name),
      resumed_as_(server_name + (identifies_itself ? "" : " anonymous")) {
    BIO* bio = BIO_new(bio_calls::method());
    if (!ssl_ || bio == nullptr) {
        BIO_free(bio);
        throw std::bad_alloc();
    }
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    if (!identifies_itself) SSL_certs_clear(ssl_.get());
    const auto& settings = context_->Get_impl();
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl_.get());
    if (is_address(server_name)) {  // no SNI for addresses (RFC 6066 section 3)
        if (settings.check_hostname) {
            X509_VERIFY_PARAM_set1_ip_asc(parameters, server_name.c_str());
        }
    } else {
        SSL_set_tlsext_host_name(ssl_.get(), server_name.c_str());
        if (settings.check_hostname) {
            X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
            X509_VERIFY_PARAM_set1_host(parameters, server_name.c_str(), server_name.size());
        }
    }
    SSL_set_app_data(ssl_.get(), this);
    if (const auto earlier = settings.resumption->take(resumed_as_)) {
        SSL_set_session(ssl_.get(), earlier.get());
    }
    // Else each record costs two calls of the BIO.
    SSL_set_read_ahead(ssl_.get(), 1);
    SSL_set_connect_state(ssl_.get());
}

tls_session::~tls_session() = default;

int tls_session::keep_session(SSL* ssl, SSL_SESSION* session) {
    const auto* const self = static_cast<tls_session*>(SSL_get_app_data(ssl));
    self->context_->Get_impl().resumption->keep(self->resumed_as_,
                                                tls_resumption::session_ptr(session));
    return 1;  // it is ours now
}

void tls_session::feed(const char* bytes, std::size_t size) {
    keep_rest();
    input_ = bytes;
    input_size_ = size;
}

void tls_session::keep_rest() {
    kept_.append(input_, input_size_);
    input_size_ = 0;
}

tls_session::step_e tls_session::result(int returned) {
    switch (SSL_get_error(ssl_.get(), returned)) {
        case SSL_ERROR_NONE:
            return step_e::done;
        case SSL_ERROR_WANT_READ:
            return step_e::wants_read;
        case SSL_ERROR_ZERO_RETURN:
            return step_e::closed;
        default:
            break;
    }
    if (SSL_is_init_finished(ssl_.get()) == 0) {
        context_->Get_impl().resumption->forget(resumed_as_);
    }
    const long verified = SSL_get_verify_result(ssl_.get());
    if (verified != X509_V_OK && context_->Get_impl().verify) {
        std::string text =
            std::string("certificate verify failed: ") + X509_verify_cert_error_string(verified);
        if (verified == X509_V_ERR_HOSTNAME_MISMATCH ||
            verified == X509_V_ERR_IP_ADDRESS_MISMATCH) {
            text += ", certificate is not valid for '" + server_name_ + "'";
        }
        ERR_clear_error();
        error_ =
            std::make_unique<error_c>(error_e::TLS_VERIFY, text, 0, static_cast<int>(verified));
    } else {
        error_ = std::make_unique<error_c>(error_e::TLS, "TLS failed: " + take_openssl_error());
    }
    return step_e::failed;
}

tls_session::step_e tls_session::handshake() {
    ERR_clear_error();
    return result(SSL_do_handshake(ssl_.get()));
}

bool tls_session::has_input() const {
    return input_size_ != 0 || !kept_.empty() || SSL_has_pending(ssl_.get()) == 1;
}

tls_session::step_e tls_session::read(char* out, std::size_t size, std::size_t& count) {
    // Once for all records: those that are read well leave nothing in OpenSSL's queue of errors.
    ERR_clear_error();
    // OpenSSL would give its read buffer back after each record, and allocate it for the next. It
    // shall do so only where it finds that there is no more.
    SSL_clear_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
    count = 0;
    while (count < size) {
        if (input_size_ == 0 && kept_.empty()) SSL_set_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
        const auto wanted =
            static_cast<int>(std::min<std::size_t>(size - count, std::numeric_limits<int>::max()));
        const int returned = SSL_read(ssl_.get(), out + count, wanted);
        if (returned <= 0) return result(returned);
        count += static_cast<std::size_t>(returned);
    }
    return step_e::done;
}

bool tls_session::write(const char* bytes, std::size_t size) {
    ERR_clear_error();
    while (size != 0) {
        std::size_t written = 0;
        if (SSL_write_ex(ssl_.get(), bytes, size, &written) != 1) {
            result(0);
            return false;
        }
        bytes += written;
        size -= written;
    }
    return true;
}

void tls_session::shut_down() {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

}  // namespace wspool::transport

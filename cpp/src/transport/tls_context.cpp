#include "transport/tls_context.hpp"

#include "transport/tls_session.hpp"

#include <array>
#include <map>
#include <mutex>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace wspool {

namespace transport {

std::string take_openssl_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown error";
    const char* reason = ERR_reason_error_string(code);
    if (reason != nullptr) return reason;
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

std::shared_ptr<const tls_context_c> default_tls_context(const std::string& ca_file,
                                                         const std::string& ca_path,
                                                         error_ptr& error) {
    static std::mutex mutex;
    static std::map<std::pair<std::string, std::string>, std::shared_ptr<const tls_context_c>> made;
    const std::lock_guard lock(mutex);
    auto& context = made[{ca_file, ca_path}];
    if (!context) {
        tls_options_t options;
        options.ca_file = ca_file;
        options.ca_path = ca_path;
        context = tls_context_c::Create(options, error);
    }
    return context;
}

void tls_resumption::keep(const std::string& server, session_ptr one) {
    const std::lock_guard lock(mutex_);
    if (sessions_.size() >= most_servers && sessions_.count(server) == 0) {
        sessions_.erase(sessions_.begin());
    }
    auto& of_server = sessions_[server];
    of_server.push_back(std::move(one));
    if (of_server.size() > most_of_a_server) of_server.pop_front();
}

void tls_resumption::forget(const std::string& server) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(server);
}

tls_resumption::session_ptr tls_resumption::take(const std::string& server) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(server);
    if (found == sessions_.end()) return nullptr;
    auto& of_server = found->second;
    session_ptr one;
    while (!of_server.empty() && !one) {
        one = std::move(of_server.back());  // the latest is the likeliest to be accepted
        of_server.pop_back();
        if (SSL_SESSION_is_resumable(one.get()) == 0) one.reset();
    }
    if (one && SSL_SESSION_get_protocol_version(one.get()) < TLS1_3_VERSION) {
        SSL_SESSION_up_ref(one.get());
        of_server.push_back(session_ptr(one.get()));
    }
    if (of_server.empty()) sessions_.erase(found);
    return one;
}

}  // namespace transport

namespace {

using transport::take_openssl_error;

error_ptr bad(const std::string& option, const std::string& why) {
    return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, option + ": " + why);
}

struct free_bio {
    void operator()(BIO* bio) const { BIO_free(bio); }
};
struct free_certificate {
    void operator()(X509* certificate) const { X509_free(certificate); }
};

/// Adds every certificate of a PEM text; false if there is none or one is broken.
bool add_certificates(SSL_CTX* context, const std::string& pem) {
    const std::unique_ptr<BIO, free_bio> bio(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    std::size_t added = 0;
    while (true) {
        const std::unique_ptr<X509, free_certificate> certificate(
            PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
        if (!certificate) {
            const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            ERR_clear_error();
            return at_end && added != 0;
        }
        if (X509_STORE_add_cert(store, certificate.get()) != 1) return false;
        ++added;
    }
}

int give_password(char* buffer, int size, int /*writing*/, void* password) {
    const auto& text = *static_cast<const std::string*>(password);
    if (text.size() > static_cast<std::size_t>(size)) return -1;
    text.copy(buffer, text.size());
    return static_cast<int>(text.size());
}

error_ptr load_trust(SSL_CTX* context, const tls_options_t& options) {
    if (options.ca_file.empty() && options.ca_path.empty() && options.ca_data.empty()) {
        if (SSL_CTX_set_default_verify_paths(context) != 1) {
            return bad("ca_file", "the default trust cannot be read: " + take_openssl_error());
        }
        ERR_clear_error();
        return nullptr;
    }
    if (!options.ca_file.empty() &&
        SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) {
        return bad("ca_file", "no certificates can be read from " + options.ca_file + ": " +
                                  take_openssl_error());
    }
    if (!options.ca_path.empty() &&
        SSL_CTX_load_verify_dir(context, options.ca_path.c_str()) != 1) {
        return bad("ca_path", "cannot be used: " + take_openssl_error());
    }
    if (!options.ca_data.empty() && !add_certificates(context, options.ca_data)) {
        return bad("ca_data", "is not a list of certificates in PEM format");
    }
    return nullptr;
}

error_ptr load_client_certificate(SSL_CTX* context, const tls_options_t& options) {
    if (options.cert_file.empty()) {
        if (!options.key_file.empty()) return bad("key_file", "is given without cert_file");
        return nullptr;
    }
    if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1) {
        return bad("cert_file", "no certificate can be read from " + options.cert_file + ": " +
                                    take_openssl_error());
    }
    // OpenSSL would ask on the terminal without a callback; ours gives what there is.
    SSL_CTX_set_default_passwd_cb(context, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(context,
                                           const_cast<std::string*>(&options.key_password));
    const std::string& key = options.key_file.empty() ? options.cert_file : options.key_file;
    const bool loaded = SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
    if (!loaded) {
        return bad("key_file",
                   "no private key can be read from " + key + ": " + take_openssl_error());
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        return bad("key_file", "does not belong to the certificate: " + take_openssl_error());
    }
    return nullptr;
}

}  // namespace

tls_context_c::tls_context_c(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
tls_context_c::~tls_context_c() = default;

std::shared_ptr<const tls_context_c> tls_context_c::Create(const tls_options_t& options,
                                                           error_ptr& error) {
    ERR_clear_error();
    auto state = std::make_unique<impl>();
    state->context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* context = state->context.get();
    if (context == nullptr) {
        error = bad("tls", "OpenSSL cannot make a context: " + take_openssl_error());
        return nullptr;
    }
    state->verify = options.verify;
    state->check_hostname = options.verify && options.check_hostname;
    SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_min_proto_version(
        context, options.min_version == tls_version_e::TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(
        context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // Idle connections give their record buffers back: memory matters more than the few
    // nanoseconds, and a busy connection reads many records a turn.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    state->resumption = std::make_unique<transport::tls_resumption>();
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, transport::tls_session::keep_session);
    if (!options.ciphers.empty() &&
        SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) != 1) {
        error = bad("ciphers", take_openssl_error());
        return nullptr;
    }
    if (options.verify) error = load_trust(context, options);
    if (!error) error = load_client_certificate(context, options);
    if (error) return nullptr;
    return std::shared_ptr<const tls_context_c>(new tls_context_c(std::move(state)));
}

}  // namespace wspool

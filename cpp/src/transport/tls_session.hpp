#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "transport/byte_buffer.hpp"
#include "transport/tls_context.hpp"
#include "wspool/error.hpp"

namespace wspool::transport {

/// One TLS connection, client side, without I/O: ciphertext in, plaintext out, and back.
///
/// Thread safety: distinct objects: safe. Shared objects: unsafe.
class tls_session {
public:
    enum class step_e { done, wants_read, closed, failed };

    /// `server_name` goes out as SNI and is checked in the certificate; a name or an address.
    /// Without `identifies_itself` the context's own certificate is kept back.
    tls_session(std::shared_ptr<const tls_context_c> context, const std::string& server_name,
                bool identifies_itself);
    ~tls_session();
    tls_session(const tls_session&) = delete;
    tls_session& operator=(const tls_session&) = delete;

    /// Gives ciphertext; it must stay until `keep_rest` or until all has been taken.
    void feed(const char* bytes, std::size_t size);
    /// Copies what was fed and not yet taken, so that the caller's buffer is free again.
    void keep_rest();
    /// True if ciphertext has been fed that no read has taken yet.
    [[nodiscard]] bool has_input() const;

    step_e handshake();
    /// Reads plaintext until there is no more or `size` bytes were written, of as many records as
    /// that takes; `count` says how many, whatever is returned. `done`: `size` was reached.
    step_e read(char* out, std::size_t size, std::size_t& count);
    /// Encrypts all of it into `output()`. False if the session has failed.
    bool write(const char* bytes, std::size_t size);
    /// Sends close_notify.
    void shut_down();

    /// OpenSSL's callback for a session that may be resumed later.
    static int keep_session(SSL* ssl, SSL_SESSION* session);

    /// Ciphertext for the peer.
    [[nodiscard]] byte_buffer& output() { return output_; }
    /// What failed; after a step returned `failed`.
    [[nodiscard]] error_ptr take_error() { return std::move(error_); }

private:
    friend struct bio_calls;
    struct free_ssl {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };
    step_e result(int returned);

    std::shared_ptr<const tls_context_c> context_;
    std::unique_ptr<SSL, free_ssl> ssl_;
    std::string server_name_;
    std::string resumed_as_;  // the name, and whether we identify ourselves
    const char* input_ = nullptr;
    std::size_t input_size_ = 0;
    byte_buffer kept_;
    byte_buffer output_;
    error_ptr error_;
};

}  // namespace wspool::transport

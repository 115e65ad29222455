#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <openssl/ssl.h>

#include "wspool/tls.hpp"

namespace wspool {

namespace transport {

/// TLS sessions for the next connections to the same servers with the same settings (RFC 8446
/// section 2.2): a handshake with them is shorter, and the server sends no certificate. Bounded.
///
/// Thread safety: any thread.
class tls_resumption {
public:
    struct free_session {
        void operator()(SSL_SESSION* one) const { SSL_SESSION_free(one); }
    };
    using session_ptr = std::unique_ptr<SSL_SESSION, free_session>;

    static constexpr std::size_t most_servers = 256;
    static constexpr std::size_t most_of_a_server = 8;

    void keep(const std::string& server, session_ptr one);
    /// Null if there is none. A ticket of TLS 1.3 is handed out once (RFC 8446 appendix C.4).
    session_ptr take(const std::string& server);
    /// A handshake has failed: the next one shall not be tried with what may be the reason.
    void forget(const std::string& server);

private:
    std::mutex mutex_;
    std::map<std::string, std::deque<session_ptr>> sessions_;  // guarded by mutex_
};

}  // namespace transport

struct tls_context_c::impl {
    struct free_context {
        void operator()(SSL_CTX* one) const { SSL_CTX_free(one); }
    };
    std::unique_ptr<SSL_CTX, free_context> context;
    bool verify = true;
    bool check_hostname = true;
    std::unique_ptr<transport::tls_resumption> resumption;
};

namespace transport {

/// The oldest error in OpenSSL's queue of this thread as text, and clears the queue.
std::string take_openssl_error();

/// The context for connections that name none, with this file and directory of trusted
/// certificates (both empty: the system's); made at the first call with them. Any thread. Null and
/// `error` if the trust cannot be read.
std::shared_ptr<const tls_context_c> default_tls_context(const std::string& ca_file,
                                                         const std::string& ca_path,
                                                         error_ptr& error);

}  // namespace transport

}  // namespace wspool

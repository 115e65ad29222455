#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "wspool/tls.hpp"

namespace wspool {

struct tls_context_c::impl {
    struct free_context {
        void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    };
    std::unique_ptr<SSL_CTX, free_context> context;
    bool verify = true;
    bool check_hostname = true;
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

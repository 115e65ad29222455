#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "wspool/error.hpp"

namespace wspool::testing {

/// What a throw-away certificate is made for. Times count from now.
struct certificate_options_t {
    std::string directory;  ///< existing directory; ca.pem, cert.pem and key.pem are written there
    std::vector<std::string> hosts{"localhost", "127.0.0.1", "::1"};  ///< DNS names, IP literals
    std::chrono::seconds not_before{-300};  ///< in the past, so a clock that is late still accepts
    std::chrono::seconds not_after{86400};  ///< before now: an expired certificate
};

/// Makes a certificate authority of its own and a server certificate signed by it (EC P-256,
/// extensions as RFC 5280 asks, so that OpenSSL's X509_V_FLAG_X509_STRICT accepts the chain).
/// The authority's key is never written; key.pem is readable by its owner only.
///
/// Thread safety: any thread. Returns null on success; else which argument or file was at fault.
[[nodiscard]] error_ptr Make_certificates(const certificate_options_t& options);

}  // namespace wspool::testing

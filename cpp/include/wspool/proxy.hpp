#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace wspool {

class tls_context_c;

/// The proxy that a connection goes through.
struct proxy_t {
    enum class kind_e {
        NONE,
        HTTP,     ///< CONNECT (RFC 9110 section 9.3.6)
        HTTPS,    ///< the same, over TLS to the proxy
        SOCKS5,   ///< RFC 1928; names are looked up here
        SOCKS5H,  ///< the same; the proxy looks names up
    };
    kind_e kind = kind_e::NONE;
    std::string host;
    std::uint16_t port = 0;
    bool has_credentials = false;
    std::string user;      ///< Basic (RFC 7617), or of RFC 1929
    std::string password;  ///< never appears in an error
    /// TLS settings for HTTPS; null takes the default trust, with verification.
    std::shared_ptr<const tls_context_c> tls;
    std::string server_hostname;  ///< SNI and name of the proxy's certificate; empty: its host
};

}  // namespace wspool

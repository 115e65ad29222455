#pragma once

#include <memory>
#include <string>

#include "wspool/error.hpp"
#include "wspool/export.hpp"

namespace wspool {

/// Lowest protocol version that a TLS context accepts.
enum class tls_version_e { TLS_1_2, TLS_1_3 };

/// What a TLS context is made of. Empty strings mean "not set".
struct tls_options_t {
    std::string ca_file;         ///< PEM file of trusted certificates
    std::string ca_path;         ///< directory of trusted certificates, hashed as by c_rehash
    std::string ca_data;         ///< trusted certificates as PEM text
    std::string cert_file;       ///< PEM file of the client's certificate chain
    std::string key_file;        ///< PEM file of the client's key; empty: it is in cert_file
    std::string key_password;    ///< for an encrypted key; never appears in an error
    bool verify = true;          ///< check the chain
    bool check_hostname = true;  ///< check the name (RFC 6125); only together with verify
    tls_version_e min_version = tls_version_e::TLS_1_2;
    std::string ciphers;  ///< OpenSSL cipher list for TLS 1.2; empty: OpenSSL's default
};

/// TLS settings shared by any number of connections (a store of trusted certificates costs
/// about 900 KB, so share it). Immutable once made.
///
/// Thread safety: distinct and shared objects: safe.
class WSPOOL_API tls_context_c {
public:
    struct impl;

    /// Makes a context. With none of ca_file, ca_path and ca_data set, trust comes from
    /// SSL_CERT_FILE / SSL_CERT_DIR, else from OpenSSL's default locations.
    /// On failure returns null and sets `error` to what could not be read or parsed.
    static std::shared_ptr<const tls_context_c> Create(const tls_options_t& options,
                                                       error_ptr& error);

    ~tls_context_c();
    tls_context_c(const tls_context_c&) = delete;
    tls_context_c& operator=(const tls_context_c&) = delete;

    [[nodiscard]] const impl& Get_impl() const noexcept { return *impl_; }

private:
    explicit tls_context_c(std::unique_ptr<impl> state);
    std::unique_ptr<impl> impl_;
};

}  // namespace wspool

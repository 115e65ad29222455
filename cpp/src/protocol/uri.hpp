#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wspool::protocol {

/// A WebSocket URI in parts (RFC 6455 section 3, RFC 3986).
struct uri_t {
    bool secure = false;
    std::string host;  ///< a name or an address; IPv6 without brackets
    std::uint16_t port = 80;
    std::string resource = "/";  ///< path and query
    std::string user;            ///< percent-decoded
    std::string password;        ///< percent-decoded
    bool has_credentials = false;

    /// Host and, unless it is the scheme's default, port, as for the Host header.
    [[nodiscard]] std::string authority() const;
    /// The URI without user name and password, for people and logs.
    [[nodiscard]] std::string without_credentials() const;
};

/// For logs: a query may hold secrets.
std::string without_query(const std::string& uri);

/// Reads `text`; on failure returns false and sets `error` to a phrase such as
/// "the port is not a number". `error` never repeats credentials.
bool parse_uri(std::string_view text, uri_t& out, std::string& error);

}  // namespace wspool::protocol

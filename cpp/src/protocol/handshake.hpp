#pragma once

#include <string>
#include <string_view>

#include "protocol/deflate.hpp"
#include "protocol/text.hpp"
#include "protocol/uri.hpp"
#include "wspool/detail/handshake_messages.hpp"
#include "wspool/error.hpp"
#include "wspool/options.hpp"

namespace wspool::protocol {

/// Base64 (RFC 4648 section 4).
std::string base64(std::string_view bytes);
/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2).
std::string accept_for(std::string_view key);
/// A fresh Sec-WebSocket-Key: 16 random bytes in base64.
std::string make_key();

bool is_token(std::string_view text);

/// Refuses headers, subprotocols and texts that cannot stand in a request; the error names the
/// option. Null if all is well.
error_ptr check_options(const options_t& options);

/// The header fields of the opening handshake, in order (RFC 6455 section 4.1).
detail::header_list_t request_fields(const uri_t& uri, const options_t& options,
                                     const std::string& key);
/// The request as it goes on the wire.
std::string request_text(const uri_t& uri, const detail::header_list_t& fields);

/// What the server's answer settled.
struct negotiated {
    std::string subprotocol;
    deflate_parameters deflate;
};

/// Checks the server's answer as RFC 6455 section 4.1 demands. Null if the connection is
/// established; then `out` is set.
error_ptr check_response(const detail::handshake_response& response, const options_t& options,
                         const std::string& key, negotiated& out);

}  // namespace wspool::protocol

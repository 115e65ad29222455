#pragma once

#include <string_view>

#include "protocol/uri.hpp"
#include "wspool/detail/handshake_messages.hpp"
#include "wspool/error.hpp"
#include "wspool/options.hpp"

namespace wspool::protocol {

/// The target of a Location header (RFC 9110 section 10.2.2) in an answer to a request for `base`,
/// resolved by RFC 3986 section 5.2, without its fragment. http and https stand for ws and wss, as
/// in the WHATWG URL standard's WebSocket. User and password of `base` are kept within its origin.
/// False if it leads to no WebSocket URI.
bool resolve_location(const uri_t& base, std::string_view location, uri_t& out);

/// Whether scheme, host and port are the same (RFC 6454 section 5).
bool same_origin(const uri_t& a, const uri_t& b);

/// Whether an answer to a request for `base` redirects to somewhere: status 300, 301, 302, 303, 307
/// or 308, and one Location, which can be resolved. Then sets `out`.
bool find_redirect(const detail::handshake_response& response, const uri_t& base, uri_t& out);

/// Refuses what must not be followed, with SECURITY: from wss to ws; to another origin through a
/// Unix socket, which leads to one server only; more than `options.max_redirects`. Null if all is
/// well. `followed` is the number of redirects before this one.
error_ptr check_redirect(const uri_t& from, const uri_t& to, const options_t& options,
                         unsigned followed);

/// What may be sent to another origin than the user chose: no Authorization, Cookie and
/// Proxy-Authorization, no Host, and the name in the certificate is the new host's.
options_t without_credentials(options_t options);

}  // namespace wspool::protocol

#include "protocol/redirect.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <string>

#include "protocol/text.hpp"

namespace wspool::protocol {

namespace {

constexpr std::array<int, 6> redirect_statuses = {300, 301, 302, 303, 307, 308};
constexpr std::array<std::string_view, 4> bound_to_origin = {"Authorization", "Cookie",
                                                             "Proxy-Authorization", "Host"};

/// The scheme in front of a colon (RFC 3986 section 3.1); empty for a relative reference.
std::string_view scheme_of(std::string_view reference) {
    const std::size_t colon = reference.find_first_of(":/?");
    if (colon == std::string_view::npos || reference[colon] != ':') return {};
    const std::string_view scheme = reference.substr(0, colon);
    const bool valid = !scheme.empty() && std::isalpha(static_cast<unsigned char>(scheme[0])) &&
                       std::all_of(scheme.begin(), scheme.end(), [](char c) {
                           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' ||
                                  c == '-' || c == '.';
                       });
    return valid ? scheme : std::string_view();
}

/// RFC 3986 section 5.2.4, for a path that begins with a slash.
std::string without_dot_segments(std::string_view path) {
    std::string out;
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/', 1), path.size());
        const std::string_view segment = path.substr(0, end);
        path.remove_prefix(end);
        if (segment != "/." && segment != "/..") {
            out += segment;
            continue;
        }
        if (segment == "/..") out.erase(std::min(out.rfind('/'), out.size()));
        if (path.empty()) out += '/';
    }
    return out;
}

/// RFC 3986 section 5.2.2, for a reference without scheme and authority.
std::string merged(std::string_view base, std::string_view reference) {
    const std::string_view base_path = base.substr(0, base.find('?'));
    const std::size_t query = std::min(reference.find('?'), reference.size());
    const std::string_view path = reference.substr(0, query);
    if (path.empty()) {
        return reference.empty() ? std::string(base)
                                 : std::string(base_path) + std::string(reference);
    }
    std::string whole;
    if (path.front() != '/') whole = base_path.substr(0, base_path.rfind('/') + 1);
    whole += path;
    return without_dot_segments(whole) + std::string(reference.substr(query));
}

/// Servers send characters outside ASCII as they are; RFC 3987 section 3.1 says what is meant.
std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
            out += c;
        } else {
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 0xF];
        }
    }
    return out;
}

}  // namespace

bool same_origin(const uri_t& a, const uri_t& b) {
    return a.secure == b.secure && a.port == b.port && equals_ignoring_case(a.host, b.host);
}

bool resolve_location(const uri_t& base, std::string_view location, uri_t& out) {
    const std::string encoded = percent_encoded(trimmed(location));
    std::string_view reference = encoded;
    reference = reference.substr(0, reference.find('#'));
    const std::string_view scheme = scheme_of(reference);
    bool secure = base.secure;
    if (!scheme.empty()) {
        secure = equals_ignoring_case(scheme, "https") || equals_ignoring_case(scheme, "wss");
        if (!secure && !equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "ws"))
            return false;
        reference.remove_prefix(scheme.size() + 1);
    }
    std::string text = secure ? "wss:" : "ws:";
    if (reference.substr(0, 2) == "//") {
        text += reference;
    } else if (scheme.empty()) {
        text += "//" + base.authority() + merged(base.resource, reference);
    } else {
        return false;
    }
    std::string why;
    if (!parse_uri(text, out, why)) return false;
    const std::size_t query = std::min(out.resource.find('?'), out.resource.size());
    out.resource = without_dot_segments(out.resource.substr(0, query)) + out.resource.substr(query);
    if (!out.has_credentials && same_origin(base, out)) {
        out.user = base.user;
        out.password = base.password;
        out.has_credentials = base.has_credentials;
    }
    return true;
}

bool find_redirect(const detail::handshake_response& response, const uri_t& base, uri_t& out) {
    if (std::find(redirect_statuses.begin(), redirect_statuses.end(), response.status()) ==
        redirect_statuses.end()) {
        return false;
    }
    const std::string* location = nullptr;
    for (const auto& [name, value] : response.fields()) {
        if (!equals_ignoring_case(name, "Location")) continue;
        if (location != nullptr && *location != value) return false;  // which one is meant?
        location = &value;
    }
    return location != nullptr && resolve_location(base, *location, out);
}

error_ptr check_redirect(const uri_t& from, const uri_t& to, const options_t& options,
                         unsigned followed) {
    const auto refused = [](std::string why) {
        return std::make_unique<error_c>(error_e::SECURITY, std::move(why));
    };
    // Path and query may hold a secret of the server's making, so only the authority is told.
    if (from.secure && !to.secure) {
        return refused("redirect from wss to ws is refused: it leads to ws://" + to.authority());
    }
    if (!options.unix_path.empty() && !same_origin(from, to)) {
        return refused("redirect from a Unix socket to another origin is refused: it leads to " +
                       to.authority());
    }
    if (followed >= options.max_redirects) {
        return refused("more than " + std::to_string(options.max_redirects) + " redirects");
    }
    return nullptr;
}

options_t without_credentials(options_t options) {
    auto& headers = options.additional_headers;
    headers.erase(std::remove_if(headers.begin(), headers.end(),
                                 [](const auto& header) {
                                     return std::any_of(
                                         bound_to_origin.begin(), bound_to_origin.end(),
                                         [&](std::string_view name) {
                                             return equals_ignoring_case(header.first, name);
                                         });
                                 }),
                  headers.end());
    options.server_hostname.clear();
    return options;
}

}  // namespace wspool::protocol

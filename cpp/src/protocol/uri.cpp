#include "protocol/uri.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "protocol/text.hpp"

namespace wspool::protocol {

namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// RFC 3986 section 2.1.
bool percent_decode(std::string_view text, std::string& out) {
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out.push_back(text[i]);
            continue;
        }
        if (i + 2 >= text.size()) return false;
        const int high = hex_digit(text[i + 1]);
        const int low = hex_digit(text[i + 2]);
        if (high < 0 || low < 0) return false;
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return true;
}

bool is_host_name_character(unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
}

bool is_address_character(unsigned char c) {
    return std::isxdigit(c) != 0 || c == ':' || c == '.' || c == '%';
}

}  // namespace

std::string uri_t::authority() const {
    std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
    if (port != (secure ? 443 : 80)) text += ":" + std::to_string(port);
    return text;
}

std::string uri_t::without_credentials() const {
    return (secure ? "wss://" : "ws://") + authority() + resource;
}

std::string without_query(const std::string& uri) {
    const std::size_t query = uri.find('?');
    return query == std::string::npos ? uri : uri.substr(0, query) + "?...";
}

bool parse_uri(std::string_view text, uri_t& out, std::string& error) {
    const auto fail = [&error](const char* why) {
        error = why;
        return false;
    };
    out = uri_t();
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte == 0x7F) return fail("it contains a space or a control character");
        if (byte >= 0x80) return fail("it contains a character outside ASCII");
    }
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos) return fail("it does not begin with ws:// or wss://");
    const std::string_view scheme = text.substr(0, colon);
    if (equals_ignoring_case(scheme, "wss")) {
        out.secure = true;
        out.port = 443;
    } else if (!equals_ignoring_case(scheme, "ws")) {
        return fail("its scheme is not ws or wss");
    }
    text.remove_prefix(colon + 3);
    if (text.find('#') != std::string_view::npos) return fail("it has a fragment");

    const std::size_t end = std::min(text.find_first_of("/?"), text.size());
    std::string_view authority = text.substr(0, end);
    std::string_view resource = text.substr(end);
    out.resource = resource.empty() || resource.front() != '/' ? "/" : "";
    out.resource += resource;

    const std::size_t at = authority.rfind('@');
    if (at != std::string_view::npos) {
        const std::string_view credentials = authority.substr(0, at);
        const std::size_t split = std::min(credentials.find(':'), credentials.size());
        if (split == credentials.size()) return fail("it has a user name without a password");
        if (!percent_decode(credentials.substr(0, split), out.user) ||
            !percent_decode(credentials.substr(split + 1), out.password)) {
            return fail("its user name or password is not properly percent-encoded");
        }
        out.has_credentials = true;
        authority.remove_prefix(at + 1);
    }

    std::string_view port;
    bool has_port = false;
    if (!authority.empty() && authority.front() == '[') {
        const std::size_t close = authority.find(']');
        if (close == std::string_view::npos) return fail("its IPv6 address has no closing bracket");
        const std::string_view address = authority.substr(1, close - 1);
        if (address.find(':') == std::string_view::npos ||
            !std::all_of(address.begin(), address.end(), is_address_character)) {
            return fail("the address in brackets is not an IPv6 address");
        }
        out.host = address;
        authority.remove_prefix(close + 1);
        if (!authority.empty()) {
            if (authority.front() != ':') return fail("there is text behind its IPv6 address");
            has_port = true;
            port = authority.substr(1);
        }
    } else {
        const std::size_t split = authority.find(':');
        out.host = authority.substr(0, split);
        if (split != std::string_view::npos) {
            has_port = true;
            port = authority.substr(split + 1);
        }
        if (!std::all_of(out.host.begin(), out.host.end(), is_host_name_character)) {
            return fail("its host name has an invalid character");
        }
    }
    if (out.host.empty()) return fail("it has no host");
    if (has_port && !port.empty()) {
        const auto [stop, code] = std::from_chars(port.data(), port.data() + port.size(), out.port);
        if (code == std::errc::result_out_of_range) return fail("its port is above 65535");
        if (code != std::errc() || stop != port.data() + port.size()) {
            return fail("its port is not a number");
        }
        if (out.port == 0) return fail("its port is 0");
    }
    return true;
}

}  // namespace wspool::protocol

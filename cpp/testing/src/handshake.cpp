#include "handshake.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

namespace wspool::testing {
namespace {

using headers_t = std::vector<std::pair<std::string, std::string>>;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_text(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The elements of a comma-separated header, all its lines together (RFC 9110 section 5.3).
std::vector<std::string_view> elements(const headers_t& headers, std::string_view name) {
    std::vector<std::string_view> found;
    for (const auto& [key, value] : headers) {
        if (!same_text(key, name)) continue;
        std::string_view rest = value;
        while (!rest.empty()) {
            const auto comma = std::min(rest.find(','), rest.size());
            if (const auto element = trim(rest.substr(0, comma)); !element.empty()) {
                found.push_back(element);
            }
            rest.remove_prefix(std::min(comma + 1, rest.size()));
        }
    }
    return found;
}

bool lists(const headers_t& headers, std::string_view name, std::string_view wanted) {
    const auto found = elements(headers, name);
    return std::any_of(found.begin(), found.end(),
                       [&](std::string_view element) { return same_text(element, wanted); });
}

std::string accept_key(std::string_view key) {
    const std::string joined = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
    unsigned size = 0;
    EVP_Digest(joined.data(), joined.size(), digest.data(), &size, EVP_sha1(), nullptr);
    std::array<unsigned char, 32> encoded{};  // 28 characters and the terminator
    const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
    return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)};
}

handshake_result refuse(std::size_t consumed, std::string_view status, std::string reason,
                        std::string_view extra = "") {
    handshake_result result;
    result.consumed = consumed;
    result.response.append("HTTP/1.1 ").append(status).append("\r\n").append(extra);
    result.response.append("Content-Type: text/plain\r\nConnection: close\r\nContent-Length: ");
    result.response.append(std::to_string(reason.size())).append("\r\n\r\n").append(reason);
    result.error = std::move(reason);
    return result;
}

/// Reads "Name: value" lines; false if one is malformed.
bool read_headers(std::string_view lines, headers_t& headers) {
    while (!lines.empty()) {
        const auto end = lines.find("\r\n");
        const auto line = lines.substr(0, end);
        lines.remove_prefix(end + 2);
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
        headers.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
    }
    return true;
}

}  // namespace

bool is_token(std::string_view text) noexcept {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') ||
               marks.find(c) != std::string_view::npos;
    });
}

handshake_result answer_request(std::string_view bytes,
                                const std::vector<std::string>& subprotocols) {
    const auto end = bytes.substr(0, max_request_size).find("\r\n\r\n");
    if (end == std::string_view::npos) {
        if (bytes.size() < max_request_size) return {};
        return refuse(bytes.size(), "431 Request Header Fields Too Large",
                      "request header above 16 KiB");
    }
    const std::size_t consumed = end + 4;
    const auto head = bytes.substr(0, end + 2);

    const auto line_end = head.find("\r\n");
    const auto line = head.substr(0, line_end);
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    headers_t headers;
    if (first == std::string_view::npos || first == last ||
        !read_headers(head.substr(line_end + 2), headers)) {
        return refuse(consumed, "400 Bad Request", "malformed HTTP request");
    }
    if (line.substr(0, first) != "GET" || line.substr(last + 1) != "HTTP/1.1") {
        return refuse(consumed, "400 Bad Request", "not a GET request of HTTP/1.1");
    }

    const auto keys = elements(headers, "Sec-WebSocket-Key");
    if (!lists(headers, "Upgrade", "websocket") || !lists(headers, "Connection", "upgrade")) {
        return refuse(consumed, "426 Upgrade Required", "not a WebSocket upgrade",
                      "Upgrade: websocket\r\n");
    }
    if (!lists(headers, "Sec-WebSocket-Version", "13")) {
        return refuse(consumed, "426 Upgrade Required", "not WebSocket version 13",
                      "Sec-WebSocket-Version: 13\r\n");
    }
    if (elements(headers, "Host").empty() || keys.size() != 1 || keys.front().size() != 24) {
        return refuse(consumed, "400 Bad Request",
                      "missing or malformed Host or Sec-WebSocket-Key");
    }

    handshake_result result;
    result.consumed = consumed;
    result.accepted = true;
    result.path = line.substr(first + 1, last - first - 1);
    for (const auto offered : elements(headers, "Sec-WebSocket-Protocol")) {
        if (std::find(subprotocols.begin(), subprotocols.end(), offered) == subprotocols.end()) {
            continue;
        }
        result.subprotocol = offered;
        break;
    }
    result.response =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        accept_key(keys.front()) + "\r\n";
    if (!result.subprotocol.empty()) {
        result.response += "Sec-WebSocket-Protocol: " + result.subprotocol + "\r\n";
    }
    result.response += "\r\n";
    result.headers = std::move(headers);
    return result;
}

}  // namespace wspool::testing

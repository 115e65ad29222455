#include "protocol/handshake.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <vector>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

namespace wspool::protocol {

namespace {

// What the handshake itself sets; a second one would contradict it.
constexpr std::array<std::string_view, 6> reserved_names = {
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-accept",
};

error_ptr invalid(std::string message) {
    return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, std::move(message));
}

bool is_field_value(std::string_view text) {  // RFC 9110 section 5.5
    return std::none_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && byte != '\t') || byte == 0x7F;
    });
}

/// All elements of a comma-separated field, over all its lines (RFC 9110 section 5.6.1).
std::vector<std::string_view> elements(const detail::header_list_t& fields, std::string_view name) {
    std::vector<std::string_view> found;
    for (const auto& [field, value] : fields) {
        if (!equals_ignoring_case(field, name)) continue;
        std::string_view rest = value;
        while (true) {
            const std::size_t comma = rest.find(',');
            const std::string_view element = trimmed(rest.substr(0, comma));
            if (!element.empty()) found.push_back(element);
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
    }
    return found;
}

std::vector<std::string_view> lines(const detail::header_list_t& fields, std::string_view name) {
    std::vector<std::string_view> found;
    for (const auto& [field, value] : fields) {
        if (equals_ignoring_case(field, name)) found.emplace_back(value);
    }
    return found;
}

bool has_field(const detail::header_list_t& fields, std::string_view name) {
    return !lines(fields, name).empty();
}

std::string printable(std::string_view text) {  // a peer's text, fit for an error message
    std::string out;
    for (const char c : text.substr(0, 100)) {
        out.push_back(std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?');
    }
    return out;
}

}  // namespace

std::string base64(std::string_view bytes) {
    std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(size));
    return out;
}

std::string accept_for(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string make_key() {
    std::array<unsigned char, 16> bytes{};
    RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
    return base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

bool is_token(std::string_view text) {  // RFC 9110 section 5.6.2
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x80 && (std::isalnum(byte) != 0 || marks.find(c) != std::string_view::npos);
    });
}

error_ptr check_options(const options_t& options) {
    for (const auto& [name, value] : options.additional_headers) {
        if (!is_token(name)) {
            return invalid("additional_headers: \"" + printable(name) + "\" is not a header name");
        }
        // The value may be a secret, so only the name is repeated.
        if (!is_field_value(value)) {
            return invalid("additional_headers: the value of " + name +
                           " contains a control character");
        }
        for (const std::string_view reserved : reserved_names) {
            if (equals_ignoring_case(name, reserved)) {
                return invalid("additional_headers: " + name + " is set by the handshake itself");
            }
        }
        if (equals_ignoring_case(name, "sec-websocket-protocol")) {
            return invalid("additional_headers: use subprotocols for Sec-WebSocket-Protocol");
        }
    }
    if (!is_field_value(options.user_agent)) {
        return invalid("user_agent contains a control character");
    }
    if (!is_field_value(options.origin)) return invalid("origin contains a control character");
    if (options.deflate.client_max_window_bits < 9 || options.deflate.client_max_window_bits > 15) {
        return invalid("deflate.client_max_window_bits must be between 9 and 15");
    }
    if (options.deflate.server_max_window_bits < 8 || options.deflate.server_max_window_bits > 15) {
        return invalid("deflate.server_max_window_bits must be between 8 and 15");
    }
    if (options.deflate.level < 1 || options.deflate.level > 9) {
        return invalid("deflate.level must be between 1 and 9");
    }
    if (options.unix_path.find('\0') != std::string::npos) {
        return invalid("unix_path contains a NUL");
    }
    if (!options.unix_path.empty() && (!options.local_address.empty() || options.local_port != 0)) {
        return invalid("unix_path is incompatible with a local address");
    }
    for (std::size_t i = 0; i < options.subprotocols.size(); ++i) {
        const std::string& name = options.subprotocols[i];
        if (!is_token(name)) {
            return invalid("subprotocols: \"" + printable(name) + "\" is not a token");
        }
        if (std::find(options.subprotocols.begin(),
                      options.subprotocols.begin() + static_cast<std::ptrdiff_t>(i),
                      name) != options.subprotocols.begin() + static_cast<std::ptrdiff_t>(i)) {
            return invalid("subprotocols: \"" + name + "\" is given twice");
        }
    }
    return nullptr;
}

detail::header_list_t request_fields(const uri_t& uri, const options_t& options,
                                     const std::string& key) {
    const auto& extra = options.additional_headers;
    detail::header_list_t fields;
    if (!has_field(extra, "Host")) fields.emplace_back("Host", uri.authority());
    fields.emplace_back("Upgrade", "websocket");
    fields.emplace_back("Connection", "Upgrade");
    fields.emplace_back("Sec-WebSocket-Key", key);
    fields.emplace_back("Sec-WebSocket-Version", "13");
    if (!options.origin.empty()) fields.emplace_back("Origin", options.origin);
    if (!options.subprotocols.empty()) {
        std::string offered;
        for (const std::string& name : options.subprotocols) {
            offered += (offered.empty() ? "" : ", ") + name;
        }
        fields.emplace_back("Sec-WebSocket-Protocol", offered);
    }
    if (options.deflate.enabled) {
        fields.emplace_back("Sec-WebSocket-Extensions", deflate_offer(options.deflate));
    }
    if (uri.has_credentials && !has_field(extra, "Authorization")) {  // RFC 7617
        fields.emplace_back("Authorization", "Basic " + base64(uri.user + ":" + uri.password));
    }
    if (!options.user_agent.empty() && !has_field(extra, "User-Agent")) {
        fields.emplace_back("User-Agent", options.user_agent);
    }
    fields.insert(fields.end(), extra.begin(), extra.end());
    fields.shrink_to_fit();  // the connection keeps them
    return fields;
}

std::string request_text(const uri_t& uri, const detail::header_list_t& fields) {
    std::string text = "GET " + uri.resource + " HTTP/1.1\r\n";
    for (const auto& [name, value] : fields) text += name + ": " + value + "\r\n";
    return text + "\r\n";
}

error_ptr check_response(const detail::handshake_response& response, const options_t& options,
                         const std::string& key, negotiated& out) {
    const auto refused = [](error_e code, std::string message) {
        return std::make_unique<error_c>(code, std::move(message));
    };
    if (response.status() != 101) {
        return std::make_unique<error_c>(
            error_e::STATUS,
            "server rejected WebSocket connection: HTTP " + std::to_string(response.status()),
            response.status());
    }
    const auto& fields = response.fields();
    const auto connection = elements(fields, "Connection");
    if (std::none_of(connection.begin(), connection.end(),
                     [](std::string_view e) { return equals_ignoring_case(e, "upgrade"); })) {
        return refused(error_e::UPGRADE, connection.empty() ? "missing Connection header"
                                                            : "invalid Connection header: " +
                                                                  printable(connection.front()));
    }
    const auto upgrade = elements(fields, "Upgrade");
    if (upgrade.size() != 1 || !equals_ignoring_case(upgrade.front(), "websocket")) {
        return refused(error_e::UPGRADE,
                       upgrade.empty() ? "missing Upgrade header"
                                       : "invalid Upgrade header: " + printable(upgrade.front()));
    }
    const auto accept = lines(fields, "Sec-WebSocket-Accept");
    if (accept.size() != 1) {
        return refused(error_e::UPGRADE, accept.empty() ? "missing Sec-WebSocket-Accept header"
                                                        : "more than one Sec-WebSocket-Accept "
                                                          "header");
    }
    if (trimmed(accept.front()) != accept_for(key)) {
        return refused(error_e::UPGRADE,
                       "invalid Sec-WebSocket-Accept header: " + printable(accept.front()));
    }
    const auto extensions = elements(fields, "Sec-WebSocket-Extensions");
    if (extensions.size() > 1 || (!extensions.empty() && !options.deflate.enabled)) {
        return refused(
            error_e::NEGOTIATION,
            "the server chose an extension that was not offered: " + printable(extensions.back()));
    }
    std::string why;
    if (!extensions.empty() &&
        !read_deflate_answer(extensions.front(), options.deflate, out.deflate, why)) {
        return refused(error_e::NEGOTIATION, why + ": " + printable(extensions.front()));
    }
    const auto chosen = lines(fields, "Sec-WebSocket-Protocol");
    if (chosen.size() > 1) {
        return refused(error_e::UPGRADE, "more than one Sec-WebSocket-Protocol header");
    }
    if (!chosen.empty()) {
        const std::string name(trimmed(chosen.front()));
        if (std::find(options.subprotocols.begin(), options.subprotocols.end(), name) ==
            options.subprotocols.end()) {
            return refused(
                error_e::NEGOTIATION,
                "the server chose a subprotocol that was not offered: " + printable(name));
        }
        out.subprotocol = name;
    }
    return nullptr;
}

}  // namespace wspool::protocol

#include "transport/proxy_handshake.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>

#include <asio/ip/address.hpp>

#include "protocol/handshake.hpp"

namespace wspool::transport {

namespace {

constexpr char socks_version = 5;
constexpr char no_credentials = 0;
constexpr char user_and_password = 2;
constexpr unsigned char none_acceptable = 0xFF;
constexpr unsigned char not_allowed = 2;
constexpr std::size_t longest_in_socks = 255;  // a length is one byte
constexpr const char* too_much = "it sent more than its answer";

bool is_http(const proxy_t& proxy) {
    return proxy.kind == proxy_t::kind_e::HTTP || proxy.kind == proxy_t::kind_e::HTTPS;
}

const char* socks_reply(unsigned code) {  // RFC 1928 section 6
    constexpr std::array<const char*, 9> texts = {
        "succeeded",           "general failure",       "connection not allowed by its rules",
        "network unreachable", "host unreachable",      "connection refused",
        "TTL expired",         "command not supported", "address type not supported",
    };
    return code < texts.size() ? texts[code] : "unknown reply";
}

}  // namespace

proxy_handshake::proxy_handshake(const proxy_t& proxy, std::string host, std::uint16_t port,
                                 std::string user_agent)
    : proxy_(proxy), host_(std::move(host)), port_(port) {
    if (is_http(proxy_))
        begin_connect(user_agent);
    else
        begin_socks();
}

std::string proxy_handshake::take_output() { return std::exchange(output_, {}); }

proxy_handshake::step_e proxy_handshake::fail(std::string why, int status, int system_code) {
    error_ = std::make_unique<error_c>(
        error_e::PROXY,
        "proxy " + proxy_.host + " port " + std::to_string(proxy_.port) + ": " + std::move(why),
        status, system_code);
    return step_e::failed;
}

/// What the proxy said, for an error: printable, short, and without the credentials, which it may
/// have echoed.
std::string proxy_handshake::quote(std::string_view text) const {
    if (proxy_.has_credentials) {
        const std::string both = protocol::base64(proxy_.user + ":" + proxy_.password);
        for (const std::string& secret : {proxy_.password, both}) {
            if (!secret.empty() && text.find(secret) != std::string_view::npos) return "...";
        }
    }
    std::string out;
    for (const char c : text.substr(0, 100)) out.push_back(c >= ' ' && c <= '~' ? c : '?');
    return out;
}

proxy_handshake::step_e proxy_handshake::take(std::string_view bytes) {
    input_.append(bytes);
    return state_ == state_e::HTTP ? take_http() : take_socks();
}

// --- CONNECT

void proxy_handshake::begin_connect(const std::string& user_agent) {
    const bool is_v6 = host_.find(':') != std::string::npos;
    const std::string authority = (is_v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_);
    output_ = "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n";
    if (proxy_.has_credentials) {  // RFC 7617
        output_ += "Proxy-Authorization: Basic " +
                   protocol::base64(proxy_.user + ":" + proxy_.password) + "\r\n";
    }
    if (!user_agent.empty()) output_ += "User-Agent: " + user_agent + "\r\n";
    output_ += "\r\n";
}

proxy_handshake::step_e proxy_handshake::take_http() {
    const std::size_t end = input_.find("\r\n\r\n");
    if (end == std::string::npos) {
        // Of an answer that is not too long the end would have come.
        if (input_.size() > longest_answer + 3) return fail("its answer is longer than 16 KiB");
        return step_e::wants_read;
    }
    if (end > longest_answer) return fail("its answer is longer than 16 KiB");
    // "HTTP/1.1 200 ..." (RFC 9112 section 4)
    const std::string_view line = std::string_view(input_).substr(0, input_.find("\r\n"));
    constexpr std::string_view name = "HTTP/1.";
    int status = 0;
    const bool is_valid =
        line.size() >= 12 && line.substr(0, name.size()) == name &&
        (line[7] == '0' || line[7] == '1') && line[8] == ' ' &&
        std::from_chars(line.data() + 9, line.data() + 12, status).ptr == line.data() + 12 &&
        (line.size() == 12 || line[12] == ' ') && status >= 100;
    if (!is_valid) return fail("its answer is not HTTP: " + quote(line));
    if (status < 200 && status != 101) {  // interim (RFC 9110 section 15.2)
        input_.erase(0, end + 4);
        return take_http();
    }
    if (status / 100 != 2) {
        return fail("it answered " + std::to_string(status) + quote(line.substr(12)), status);
    }
    if (input_.size() != end + 4) return fail(too_much);
    state_ = state_e::DONE;
    return step_e::done;
}

// --- SOCKS5

void proxy_handshake::begin_socks() {
    state_ = state_e::GREETING;
    output_ = {socks_version};
    if (proxy_.has_credentials)
        output_.append({2, no_credentials, user_and_password});
    else
        output_.append({1, no_credentials});
}

/// After the last answer before it; behind that answer nothing may stand yet.
proxy_handshake::step_e proxy_handshake::send_socks_request() {
    if (!input_.empty()) return fail(too_much);
    if (host_.size() > longest_in_socks) {
        return fail("the server's name has more than 255 bytes, which SOCKS5 cannot say");
    }
    state_ = state_e::REQUEST;
    output_.append({socks_version, 1 /* CONNECT */, 0});
    std::error_code not_an_address;
    const auto address = asio::ip::make_address(host_, not_an_address);
    if (not_an_address) {
        output_.push_back(3);
        output_.push_back(static_cast<char>(host_.size()));
        output_.append(host_);
    } else if (address.is_v4()) {
        output_.push_back(1);
        for (const unsigned char byte : address.to_v4().to_bytes())
            output_.push_back(static_cast<char>(byte));
    } else {
        output_.push_back(4);
        for (const unsigned char byte : address.to_v6().to_bytes())
            output_.push_back(static_cast<char>(byte));
    }
    output_.push_back(static_cast<char>(port_ >> 8));
    output_.push_back(static_cast<char>(port_ & 0xFF));
    return step_e::wants_read;
}

proxy_handshake::step_e proxy_handshake::answer_greeting() {
    const auto method = static_cast<unsigned char>(input_[1]);
    input_.erase(0, 2);
    if (method == none_acceptable) {
        return fail(proxy_.has_credentials
                        ? "it accepts neither no authentication nor a user name and password"
                        : "it wants authentication",
                    0, EACCES);
    }
    if (method == no_credentials) return send_socks_request();
    if (method != user_and_password || !proxy_.has_credentials) {
        return fail("it chose a method that was not offered");
    }
    if (!input_.empty()) return fail(too_much);
    if (std::max(proxy_.user.size(), proxy_.password.size()) > longest_in_socks) {
        return fail("user name or password has more than 255 bytes, which SOCKS5 cannot say");
    }
    state_ = state_e::CREDENTIALS;
    output_.push_back(1);
    for (const std::string* text : {&proxy_.user, &proxy_.password}) {
        output_.push_back(static_cast<char>(text->size()));
        output_.append(*text);
    }
    return step_e::wants_read;
}

proxy_handshake::step_e proxy_handshake::take_socks() {
    const auto byte = [this](std::size_t i) { return static_cast<unsigned char>(input_[i]); };
    if (input_.empty()) return step_e::wants_read;
    if (state_ == state_e::CREDENTIALS) {
        if (input_.size() < 2) return step_e::wants_read;
        // RFC 1929: version 1, then 0 for success. Some proxies answer with their own version.
        if (byte(1) != 0) return fail("it does not accept the user name and password", 0, EACCES);
        input_.erase(0, 2);
        return send_socks_request();
    }
    if (byte(0) != socks_version) return fail("it is not a SOCKS5 proxy");
    if (state_ == state_e::GREETING) {
        return input_.size() < 2 ? step_e::wants_read : answer_greeting();
    }
    // The reply: version, code, 0, address type, address, port.
    if (input_.size() < 2) return step_e::wants_read;
    if (byte(1) != 0) {
        const std::string why = std::string("it answered: ") + socks_reply(byte(1));
        return fail(why, 0, byte(1) == not_allowed ? EACCES : 0);
    }
    if (input_.size() < 5) return step_e::wants_read;
    std::size_t address = 0;
    switch (byte(3)) {
        case 1:
            address = 4;
            break;
        case 3:
            address = 1 + std::size_t{byte(4)};
            break;
        case 4:
            address = 16;
            break;
        default:
            return fail("its answer has an unknown type of address");
    }
    const std::size_t size = 4 + address + 2;
    if (input_.size() < size) return step_e::wants_read;
    if (input_.size() > size) return fail(too_much);
    state_ = state_e::DONE;
    return step_e::done;
}

}  // namespace wspool::transport
